"""What reads a task's findings off a model: passes of a batch of texts in, findings out.

An engine cuts texts into units (a whole text, or windows of a long one), runs the encoder over them pass by pass, and
gives each pass to the annotators of its tasks. When all units have run, each annotator makes findings of what it kept.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.models.text.batching import Windows, cut_windows
from klue_beam.transforms.models.text.pieces import EncodedTexts, PaddedInputs, TextTokenizer, Units
from klue_beam.transforms.tasks.columns import Probabilities
from klue_beam.transforms.tasks.findings import Findings
from klue_beam.transforms.tasks.spec import Calibration

Forward = Callable[[Ints], None]
"""Runs the items of these numbers; where it raises, it leaves nothing behind."""


@dataclasses.dataclass(slots=True)
class Work:
    """A batch of texts on its way through a model.

    Attributes:
      n_texts: how many texts are annotated.
      encoded: what was tokenised: the texts, or what an annotator made of them.
      windows: the units of `encoded`.
      owner: the text that each unit is of. Shape: (n_units,).
      n_prefix: special tokens before the first piece of a unit.
      found: by task, what it found, of the tasks that ran before and of those that another engine ran.
      failures: by text, the reason for each on which the model failed so far.
      run_batches: runs items of given lengths in batches, see `run_items`.
    """

    n_texts: int
    encoded: EncodedTexts
    windows: Windows
    owner: Ints
    n_prefix: int
    found: Mapping[str, Any]
    failures: dict[int, str]
    run_batches: Callable[[Ints, Forward, "Callable[[Work, EncoderPass], None]"], Mapping[int, str]] | None = None

    def failed(self) -> Bools:
        """Tell on which texts the model failed so far. Shape: (n_texts,)."""
        failed = np.zeros(self.n_texts, dtype=bool)
        failed[list(self.failures)] = True
        return failed

    def windowed(self) -> Bools:
        """Tell which texts are cut into windows. Shape: (n_texts,)."""
        return self.windows.texts_in_windows(self.n_texts)

    def run_items(
        self, owner: Ints, lengths: Ints, forward: Forward, try_plain: "Callable[[Work, EncoderPass], None]"
    ) -> None:
        """Run further items through a head, in batches of like length, after the encoder has run.

        The text of an item that fails joins `failures`.

        Args:
          owner: the text of each item. Shape: (n_items,).
          lengths: tokens of each. Shape: (n_items,).
          forward: runs some items.
          try_plain: does the same for a plain sentence that the encoder has read, to tell a broken head from broken
            texts where all items fail.

        Raises:
          RuntimeError: if every item fails, and the plain sentence too.
        """
        if self.run_batches is None:
            raise RuntimeError("Only an engine with an encoder runs further items.")
        failed = self.run_batches(lengths, forward, try_plain)
        self.failures.update({int(owner[item]): reason for item, reason in failed.items()})


@dataclasses.dataclass(frozen=True, slots=True)
class Pass:
    """Some units that ran through a model together.

    Attributes:
      work: the batch of texts that they are of.
      index: which units. Shape: (B,).
      units: these units.
      inputs: as they were laid out.
    """

    work: Work
    index: Ints
    units: Units
    inputs: PaddedInputs


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderPass(Pass):
    """A pass of an encoder.

    Attributes:
      mask: 1 for a token, 0 for padding, on the model's device. Shape: (B, L).
      hidden: the last states. Shape: (B, L, H).
      lower: those so many layers below as a task asks for by `depth`. Shape: (B, L, H).
    """

    mask: Tensor
    hidden: Tensor
    lower: Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class ClassifierPass(Pass):
    """A pass of a checkpoint that is a whole classifier.

    Attributes:
      probabilities: of each label. Shape: (B, n_labels), of a token classifier (B, L, n_labels).
    """

    probabilities: Probabilities


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a task found.

    Attributes:
      findings: in the order of the texts.
      flags: by name, the texts that carry it. Shape of each: (n_texts,).
    """

    findings: Findings
    flags: Mapping[str, Bools] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class TaskModel:
    """A task's part of a loaded model.

    Attributes:
      heads: by name.
      spec: what the model says of the task.
      calibration: by output.
      options: the task's options, by name.
      device: where the model runs.
    """

    heads: Mapping[str, Any]
    spec: Any
    calibration: Mapping[str, Calibration]
    options: Mapping[str, Any]
    device: torch.device

    def calibrated(self, output: str, logits: Tensor) -> Tensor:
        """Apply the calibration of an output, if it has one, in fp32. Shape: (…, n_classes)."""
        logits = logits.float()
        calibration = self.calibration.get(output)
        if calibration is None:
            return logits
        logits = logits / calibration.temperature
        return logits + torch.tensor(calibration.bias, device=logits.device) if calibration.bias else logits

    def probabilities(self, output: str, logits: Tensor) -> Probabilities:
        """Turn an output's logits into calibrated probabilities. Shape: (…, n_classes).

        Raises:
          FloatingPointError: if one is infinite or NaN.
        """
        probabilities: Probabilities = torch.softmax(self.calibrated(output, logits), -1).cpu().numpy()
        return require_finite(probabilities)


class Annotator(abc.ABC):
    """Reads a task's findings off an encoder's states."""

    @abc.abstractmethod
    def forward(self, batch: EncoderPass) -> Any:
        """Run the task's heads on a pass; gives what `decode` needs of it, None for nothing."""

    @abc.abstractmethod
    def decode(self, kept: Sequence[Any], work: Work) -> Found:
        """Make findings of what the passes gave.

        Args:
          kept: what `forward` gave, pass after pass.
          work: the texts, and what the tasks found that this one needs.
        """


class ClassifierAnnotator(abc.ABC):
    """Reads a task's findings off the outputs of a checkpoint that is a whole classifier."""

    def lay_out(
        self,
        texts: Sequence[str],
        found: Mapping[str, Any],  # noqa: ARG002 - what most tasks do not need
        tokenizer: TextTokenizer,
        max_pieces: int,
    ) -> Work:
        """Tokenise what the classifier reads of the texts, here the texts, long ones in windows.

        Args:
          texts: the texts.
          found: what the tasks found that this one needs.
          tokenizer: the checkpoint's.
          max_pieces: pieces that fit beside the special tokens.
        """
        return lay_out_texts(texts, tokenizer, max_pieces)

    def list_units(self, work: Work) -> Ints:
        """List the units that the classifier is to run. Shape: (n,)."""
        return np.arange(len(work.windows.units))

    @abc.abstractmethod
    def forward(self, batch: ClassifierPass) -> Any:
        """Give what `decode` needs of a pass."""

    @abc.abstractmethod
    def decode(self, kept: Sequence[Any], work: Work) -> Found:
        """See Annotator."""


def lay_out_texts(texts: Sequence[str], tokenizer: TextTokenizer, max_pieces: int) -> Work:
    """Tokenise texts and cut long ones into windows of at most so many pieces."""
    encoded = tokenizer.encode(texts)
    windows = cut_windows(encoded, max_pieces)
    return Work(len(texts), encoded, windows, windows.units.text, len(tokenizer.prefix), {}, {})


def require_finite(scores: Probabilities) -> Probabilities:
    """Refuse scores that are no numbers: they would choose labels that mean nothing.

    Raises:
      FloatingPointError: if one is infinite or NaN.
    """
    if not np.isfinite(scores).all():
        raise FloatingPointError("the model's scores are not finite")
    return scores
