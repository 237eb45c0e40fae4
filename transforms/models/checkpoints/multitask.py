"""One encoder with the heads of several tasks."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.nets.attention import BERT_LIKE
from klue_beam.transforms.models.nets.heads import CharacterTagHead, DependencyHead, PairLayer, RelationHead, TopicHead
from klue_beam.transforms.tasks.entity.tagging import bio_tags


class MultiTaskModel(nn.Module):
    """An encoder and a head for each task of its spec.

    Args:
      spec: tasks, labels and head sizes.
      encoder: a Hugging Face encoder (BERT, RoBERTa, ELECTRA, …).
      parser: a head for `dp` of another make, with DependencyHead's interface.

    Raises:
      ValueError: if the spec asks for more pair layers than the encoder has layers.
    """

    def __init__(self, spec: ModelSpec, encoder: Any, parser: nn.Module | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.encoder: Any = encoder
        size, n_layers = encoder.config.hidden_size, encoder.config.num_hidden_layers
        if "re" in spec.tasks and not 0 <= spec.pair_layers <= n_layers:
            raise ValueError(
                f"`pair_layers` must be from 0 to the encoder's {n_layers} layers, got {spec.pair_layers}. "
                "Leave it out for the default of 2, or give 1 for an encoder of one layer."
            )
        if "tc" in spec.tasks:
            self.topic = TopicHead(size, len(spec.topics))
        if "ner" in spec.tasks:
            self.entity = CharacterTagHead(size, len(bio_tags(spec.ner_types)), spec.char_positions)
            if spec.mention_types:
                self.mention = CharacterTagHead(size, len(bio_tags(spec.mention_types)), spec.char_positions)
        if "re" in spec.tasks:
            self.relation = RelationHead(encoder.config, spec.pair_layers, len(spec.relations), spec.pair_context)
        if "dp" in spec.tasks:
            if parser is None:
                parser = DependencyHead(size, spec.arc_size, spec.label_size, len(spec.deprels))
            self.dependency: Any = parser

    def copy_pair_layers(self) -> None:
        """Start the pair layers from the encoder's top layers, where these are laid out as BERT's."""
        layers = getattr(getattr(self.encoder, "encoder", None), "layer", None)
        if "re" in self.spec.tasks and self.encoder.config.model_type in BERT_LIKE and layers is not None:
            for ours, theirs in zip(self.relation.layers, layers[len(layers) - self.spec.pair_layers :], strict=True):
                cast("PairLayer", ours).copy_bert(theirs)

    def encode(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the encoder.

        Args:
          input_ids, mask: Shape: (B, L).

        Returns:
          The last hidden states and those below the layers that run again for pairs. Shape of both: (B, L, H).
        """
        output = self.encoder(input_ids=input_ids, attention_mask=mask, output_hidden_states=True)
        states = output.hidden_states
        return output.last_hidden_state, states[max(0, len(states) - 1 - self.spec.pair_layers)]

    def forward(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Same as `encode`."""
        return self.encode(input_ids, mask)


def count_parameters(model: nn.Module) -> int:
    """Count a model's parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def to_tensor(array: Any, device: torch.device) -> Tensor:
    """Move a numpy array to the device; to a GPU from pinned memory, while the processor goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
