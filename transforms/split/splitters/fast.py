"""The default splitter, `fast`: a small trained model over every gap where a sentence can end, a batch at a time."""

import functools
from typing import Final

import numpy as np

from klue_beam.transforms.base.codepoints import Bools, Codes, Ints
from klue_beam.transforms.split.splitters.base import SplitterEntry
from klue_beam.transforms.split.splitters.candidates import propose
from klue_beam.transforms.split.splitters.features import FEATURES, HASH_BITS
from klue_beam.transforms.split.splitters.layout import lay_out
from klue_beam.transforms.split.splitters.model import BoundaryModel, model_version
from klue_beam.transforms.split.splitters.rules import allowed, required
from klue_beam.transforms.split.splitters.simple import CuttingSplitter

RULES_VERSION: Final = 2
"""To be raised with every change of the layout, the candidates or the rules; the weights name themselves."""


BLOCK_CODES: Final = 1 << 16
"""Whole documents of about so many code points are split at a time: what a block needs is found in memory that the one
before has freed, and in the core's cache."""


def fast_version() -> str:
    """Name the weights, the features and the rules that the result depends on."""
    return f"{RULES_VERSION}-{len(FEATURES)}x{HASH_BITS}-{model_version()}"


def _find_cuts(model: BoundaryModel, codes: Codes, space: Bools, begins: Ints) -> Ints:
    cuts = [np.zeros(0, dtype=np.int64)]
    first = 0
    while first < len(begins) - 1:
        past = max(first + 1, int(np.searchsorted(begins, begins[first] + BLOCK_CODES, side="right")) - 1)
        block = slice(begins[first], begins[past])
        candidates = propose(
            lay_out(codes[block], space[block], begins[first : past + 1] - begins[first]), model.endings
        )
        likely = candidates.where((model.scores(candidates) > 0) | required(candidates))
        cuts.append(begins[first] + np.sort(allowed(likely).cut))
        first = past
    return np.concatenate(cuts)


def fast_splitter(model: BoundaryModel | None = None) -> CuttingSplitter:
    """Load the default splitter.

    Args:
      model: another boundary model than the one that comes with the package.
    """
    return CuttingSplitter("fast", functools.partial(_find_cuts, model or BoundaryModel.load()))


SPLITTER: Final = SplitterEntry(fast_splitter, fast_version)
