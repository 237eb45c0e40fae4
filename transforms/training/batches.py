"""The batches of a run, of one objective each, in a fixed random order; and what of them a model may not see."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from klue_beam.schemas.config import require
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.text.pieces import PaddedInputs, TextTokenizer
from klue_beam.transforms.tasks.learning import Objective
from klue_beam.transforms.training.config import TrainConfig


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Which examples of which objective make a batch."""

    objective: int
    index: Ints


class BatchPlan(NamedTuple):
    """The batches of a run in their order, and how many examples of each objective are left out as too long."""

    batches: list[Batch]
    left_out: dict[str, int]


def plan_batches(
    objectives: Sequence[Objective], tokenizer: TextTokenizer, config: TrainConfig, max_pieces: int
) -> BatchPlan:
    """Lay out every batch of the run in its order; the same seed gives the same order.

    Args:
      objectives: what to learn.
      tokenizer: the model's.
      config: how.
      max_pieces: what the encoder has room for; `config` may ask for less.

    Raises:
      ValueError: if no example of an objective is short enough.
    """
    random = np.random.default_rng(config.seed)
    batches: list[Batch] = []
    left_out: dict[str, int] = {}
    for number, objective in enumerate(objectives):
        pieces = tokenizer.encode(objective.texts).pieces.lengths
        lengths = pieces + tokenizer.n_special
        room = min(config.max_pieces, max_pieces)
        usable = np.flatnonzero(pieces <= room)
        left_out[objective.name] = len(lengths) - len(usable)
        require(
            len(usable) > 0,
            f"Of {objective.name}, some example must have at most {room} pieces",
            f"{len(lengths)} longer ones" if len(lengths) else "no example",
            "Raise `max_pieces`, or give other data.",
        )
        wanted = config.epochs.get(objective.name, 1.0)
        while wanted > 0:
            order = random.permutation(usable)[: math.ceil(len(usable) * min(wanted, 1.0))]
            # Neighbours in length, but not always the same neighbours.
            order = order[np.argsort(lengths[order] * random.uniform(0.9, 1.1, len(order)), kind="stable")]
            batches += [Batch(number, index) for index in _cut(order, lengths, config.batch_tokens)]
            wanted -= 1
    return BatchPlan([batches[i] for i in random.permutation(len(batches))], left_out)


def _cut(order: Ints, lengths: Ints, batch_tokens: int) -> list[Ints]:
    cuts, widest, begin = [0], 0, 0
    for i, example in enumerate(order):
        widest = max(widest, int(lengths[example]))
        if i > begin and widest * (i + 1 - begin) > batch_tokens:
            cuts.append(i)
            begin, widest = i, int(lengths[example])
    return [part for part in np.split(order, cuts[1:]) if len(part)]


def hide_pieces(inputs: PaddedInputs, tokenizer: TextTokenizer, share: float) -> PaddedInputs:
    """Put the mask token, or the unknown one where a tokenizer has none, in the place of some pieces.

    Args:
      inputs: a batch.
      tokenizer: the model's.
      share: of the pieces, special tokens and padding left out, drawn by torch's generator.

    Reference (word dropout): Iyyer et al., 2015, https://aclanthology.org/P15-1162
    """
    if not share:
        return inputs
    hidden = (torch.rand(inputs.input_ids.shape) < share).numpy()
    hidden &= ~np.isin(inputs.input_ids, tokenizer.tokenizer.all_special_ids)
    return dataclasses.replace(inputs, input_ids=np.where(hidden, tokenizer.hidden_id, inputs.input_ids))
