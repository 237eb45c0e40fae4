"""Running a multi-task model over texts: one tokenisation, one encoder pass, every task's heads on the same states."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.engine.running import TokenBudget, run_batches
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.batching import BATCH_COST_TOKENS, count_max_pieces, cut_windows
from klue_beam.transforms.models.text.pieces import TextTokenizer, pad_units
from klue_beam.transforms.tasks.annotator import Annotator, EncoderPass, Forward, Found, TaskModel, Work, lay_out_texts
from klue_beam.transforms.tasks.output import order_by_needs, require_needs

PLAIN_SENTENCE: Final = "오늘은 날씨가 좋다."
"""What a model that failed on every sentence is tried on, to tell a broken model from broken sentences."""


def encode_plain(tokenizer: TextTokenizer, max_pieces: int) -> dict[str, Tensor]:
    """Give what an encoder takes for PLAIN_SENTENCE, cut to so many pieces."""
    encoded = tokenizer.encode([PLAIN_SENTENCE])
    inputs = pad_units(encoded, cut_windows(encoded, max_pieces).units.take(np.zeros(1, dtype=np.int64)), tokenizer)
    return {"input_ids": torch.from_numpy(inputs.input_ids), "attention_mask": torch.from_numpy(inputs.mask)}


@dataclasses.dataclass(frozen=True, slots=True)
class Annotations:
    """What an engine found in a batch of texts.

    Attributes:
      found: by task, its Findings, texts in the order given.
      flags: by flag name, the texts that carry it. Shape of each: (n_texts,), bool.
      failures: by text, the reason for each on which the model failed.
    """

    found: Mapping[str, Any]
    flags: Mapping[str, Bools]
    failures: Mapping[int, str]


class Engine(Protocol):
    """A loaded model that annotates texts with its tasks."""

    tokenizer: TextTokenizer

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks that it was loaded for."""
        ...

    def annotate(self, texts: Sequence[str], known: Mapping[str, Any] | None = None) -> Annotations:
        """Annotate texts.

        Args:
          texts: sentences.
          known: by task, findings that its tasks shall take; without, they take what its own tasks find.

        Raises:
          ValueError: if a task needs findings that are neither known nor found here.
          RuntimeError: if the model fails on every text, and on a plain sentence too.
        """
        ...


def gather(tasks: Sequence[str], found: Mapping[str, Found], work: Work) -> Annotations:
    """Put together what an engine's tasks found, without the texts on which its model failed."""
    failed = work.failed()
    flags = {TASKS[task].failed_flag.name: failed for task in tasks}
    for one in found.values():
        flags |= one.flags
    return Annotations({task: one.findings.without(failed) for task, one in found.items()}, flags, work.failures)


def fill_options(tasks: Sequence[str], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the options of tasks, by name; their defaults where none are given."""
    return {option.name: options.get(option.name, option.default) for task in tasks for option in TASKS[task].options}


def _try_no_more(work: Work, batch: EncoderPass) -> None:
    """Try nothing but what has been tried of a plain sentence already."""


class MultiTaskEngine:
    """A multi-task model that annotates texts.

    Args:
      model, tokenizer: as `load_model` gives them.
      tasks: which of the model's tasks to run.
      token_budget: at most so many tokens, padding included, in one forward pass; fewer from then on once that many did
        not fit the device's memory.
      options: of the tasks, by name; without, their defaults.
      device: where the model runs.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tokenizer: TextTokenizer,
        tasks: Sequence[str],
        *,
        token_budget: int,
        options: Mapping[str, Any] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = device if device is not None else torch.device("cpu")
        self.model = model.to(self.device).eval()
        self.tokenizer = tokenizer
        self.tasks = tuple(tasks)
        self.budget = TokenBudget(token_budget, BATCH_COST_TOKENS[self.device.type])
        self.max_pieces = count_max_pieces(model.encoder, tokenizer)
        spec, chosen = model.spec, fill_options(self.tasks, options or {})
        self._annotators: dict[str, Annotator] = {
            task: TASKS[task].annotator(
                TaskModel(model.heads_of(task), spec.of[task], spec.calibration, chosen, self.device)
            )
            for task in order_by_needs(self.tasks)
        }

    def annotate(self, texts: Sequence[str], known: Mapping[str, Any] | None = None) -> Annotations:
        """See Engine."""
        known = known or {}
        require_needs(self.tasks, known)
        work = lay_out_texts(texts, self.tokenizer, self.max_pieces)
        work.run_batches = self._run_batches
        kept: dict[str, list[Any]] = {task: [] for task in self._annotators}

        def forward(index: Ints) -> None:
            for task, part in self._forward(work, index).items():
                kept[task].append(part)

        units = work.windows.units
        lengths = units.end - units.begin + self.tokenizer.n_special
        with torch.inference_mode():
            failed = self._run_batches(lengths, forward, _try_no_more)
            work.failures.update({int(work.owner[unit]): reason for unit, reason in failed.items()})
            found: dict[str, Found] = {}
            for task, annotator in self._annotators.items():
                # A task that comes later may use what this one found; what the caller knows goes before that.
                work.found = {**{name: one.findings for name, one in found.items()}, **known}
                found[task] = annotator.decode(kept[task], work)
        return gather(self.tasks, found, work)

    def _run_batches(
        self, lengths: Ints, forward: Forward, try_plain: Callable[[Work, EncoderPass], None]
    ) -> Mapping[int, str]:
        """Run items in batches; `try_plain` tries more of a plain sentence than the encoder and the heads' forward."""

        def run_plain() -> None:
            work = lay_out_texts([PLAIN_SENTENCE], self.tokenizer, self.max_pieces)
            batch = self._encode(work, np.zeros(1, dtype=np.int64))
            self._run_heads(batch)
            try_plain(work, batch)

        return run_batches(np.arange(len(lengths)), lengths, self.budget, forward, run_plain)

    def _forward(self, work: Work, index: Ints) -> Mapping[str, Any]:
        return self._run_heads(self._encode(work, index))

    def _encode(self, work: Work, index: Ints) -> EncoderPass:
        units = work.windows.units.take(index)
        inputs = pad_units(work.encoded, units, self.tokenizer)
        mask = to_tensor(inputs.mask, self.device)
        hidden, lower = self.model(to_tensor(inputs.input_ids, self.device), mask)
        return EncoderPass(work, index, units, inputs, mask, hidden, lower)

    def _run_heads(self, batch: EncoderPass) -> Mapping[str, Any]:
        parts = {task: annotator.forward(batch) for task, annotator in self._annotators.items()}
        return {task: part for task, part in parts.items() if part is not None}
