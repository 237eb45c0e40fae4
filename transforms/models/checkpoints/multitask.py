"""One encoder with the heads of several tasks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.spec import ModelSpec


class MultiTaskModel(nn.Module):
    """An encoder and the heads of each task of its spec.

    Each head is an attribute, called as its task calls it; so its weights are called in the model's folder.

    Args:
      spec: tasks, and what each says of its heads.
      encoder: a Hugging Face encoder (BERT, RoBERTa, ELECTRA, …).
      heads: by task, heads of another make that take the place of those that the task builds.

    Raises:
      ValueError: if a task cannot build its heads for this encoder, two tasks call heads by one name, or they read the
        states of two lower layers.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Heads are found by their names, whatever their class."""

    def __init__(
        self, spec: ModelSpec, encoder: Any, heads: Mapping[str, Mapping[str, nn.Module]] | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        self.encoder: Any = encoder
        self._names: dict[str, tuple[str, ...]] = {}
        for name in spec.tasks:
            given = (heads or {}).get(name)
            built = TASKS[name].build_heads(spec.of[name], encoder.config) if given is None else given
            if taken := [head for head in built if hasattr(self, head)]:
                raise ValueError(
                    f"A task must call its heads by names of their own, got {taken[0]!r} of {name}, which stands for "
                    "another part of the model. Rename it in the task."
                )
            self._names[name] = tuple(built)
            for head, module in built.items():
                setattr(self, head, module)
        depths = {TASKS[name].depth(spec.of[name]) for name in spec.tasks} - {0}
        if len(depths) > 1:
            raise ValueError(
                f"The tasks of a model must read the states of one lower layer, got {len(depths)}: "
                f"{', '.join(map(str, sorted(depths)))} layers below the top. Train the tasks apart."
            )
        # Where no task of the model reads a lower layer, a student still learns from the states that `re` would read.
        self.depth = max(depths or {TASKS[name].depth(said) for name, said in spec.of.items()})

    def heads_of(self, task: str) -> Mapping[str, nn.Module]:
        """Give a task's heads by name, in the form that they run in now."""
        return {name: getattr(self, name) for name in self._names[task]}

    def start_heads(self) -> None:
        """Give new heads weights of the encoder to begin training from, where their tasks do so."""
        for task in self.spec.tasks:
            TASKS[task].start_heads(self.heads_of(task), self.encoder)

    def encode(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the encoder.

        Args:
          input_ids, mask: Shape: (B, L).

        Returns:
          The last hidden states and those `depth` layers below them. Shape of both: (B, L, H).
        """
        output = self.encoder(input_ids=input_ids, attention_mask=mask, output_hidden_states=True)
        states = output.hidden_states
        return output.last_hidden_state, states[max(0, len(states) - 1 - self.depth)]

    def forward(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Same as `encode`."""
        return self.encode(input_ids, mask)


def count_parameters(model: nn.Module) -> int:
    """Count a model's parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
