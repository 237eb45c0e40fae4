"""The default splitter, `fast`: a small trained model over every gap where a sentence can end, a batch at a time."""

import functools
from typing import Final

import numpy as np

from transforms.codepoints import Bools, Codes, Ints
from transforms.splitters.candidates import propose
from transforms.splitters.features import FEATURES, HASH_BITS
from transforms.splitters.layout import lay_out
from transforms.splitters.model import BoundaryModel, model_version
from transforms.splitters.rules import allowed
from transforms.splitters.simple import CuttingSplitter

RULES_VERSION: Final = 1
"""To be raised with every change of the layout, the candidates or the rules; the weights name themselves."""


def fast_version() -> str:
    """Name the weights, the features and the rules that the result depends on."""
    return f"{RULES_VERSION}-{len(FEATURES)}x{HASH_BITS}-{model_version()}"


def _find_cuts(model: BoundaryModel, codes: Codes, space: Bools, begins: Ints) -> Ints:
    candidates = propose(lay_out(codes, space, begins), model.is_bare_ending)
    likely = candidates.where(model.scores(candidates) > 0)
    return np.sort(allowed(likely).cut)


def fast_splitter(model: BoundaryModel | None = None) -> CuttingSplitter:
    """Load the default splitter.

    Args:
      model: another boundary model than the one that comes with the package.
    """
    return CuttingSplitter("fast", functools.partial(_find_cuts, model or BoundaryModel.load()))
