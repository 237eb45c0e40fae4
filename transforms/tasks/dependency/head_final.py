"""Dependency trees as KLUE's are: heads stand to the right of their dependents, and no two arcs cross."""

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.tasks.columns import Probabilities


def are_head_final(heads: Ints, real: Bools) -> Bools:
    """Tell which rows are such trees, with the last word as the root (or empty).

    Args:
      heads: 0 for the root, else 1-based. Shape: (batch_size, width).
      real: False past a row's last eojeol. Shape: (batch_size, width).

    >>> are_head_final(np.array([[2, 3, 0], [3, 3, 0], [0, 1, 0], [3, 4, 4]]), np.ones((4, 3), dtype=bool)).tolist()
    [True, True, False, False]
    """
    number = np.arange(heads.shape[1]) + 1
    last = real.sum(1, keepdims=True)
    placed = np.where(number < last, (heads > number) & (heads <= last), heads == 0) | ~real
    # Of two arcs that cross, the one that begins within the other ends beyond it.
    within = (number > number[:, None]) & (number < heads[:, :, None])
    crossing = within & (heads[:, None, :] > heads[:, :, None])
    found: Bools = placed.all(1) & ~crossing.any((1, 2))
    return found


def decode_head_final(log_probabilities: Probabilities, n_eojeols: Ints) -> Ints:
    """Find the best of such trees for each sentence: the one whose arcs' scores sum to the most.

    Where the best heads make one, it is that; else spans are joined from short to long, as Eisner does it, in which a
    span's head is always its last word.

    Args:
      log_probabilities: of heads, 0 for the root. Shape: (batch_size, width, width + 1).
      n_eojeols: Shape: (batch_size,).

    Returns:
      0 for the root and past a sentence's end, else 1-based. Shape: (batch_size, width).

    Reference: Eisner, 1996, https://aclanthology.org/C96-1058
    """
    real = np.arange(log_probabilities.shape[1]) < n_eojeols[:, None]
    heads: Ints = np.where(real, log_probabilities.argmax(2), 0)
    rows = np.flatnonzero(~are_head_final(heads, real))
    if len(rows):
        width = int(n_eojeols[rows].max())
        scores = log_probabilities[rows, :width, 1 : width + 1].astype(np.float64)
        heads[rows, :width] = _read_off(_join_spans(scores), n_eojeols[rows])
    return heads


def _join_spans(scores: npt.NDArray[np.float64]) -> Ints:
    """Find where each span is best cut in two: the last word of its first part depends on its own last word.

    Args:
      scores: of dependent and head. Shape: (batch_size, width, width).

    Returns:
      For the span from i to j, the word that ends its first part. Shape: (batch_size, width, width).
    """
    size, width, _ = scores.shape
    best = np.zeros((size, width, width))
    cut = np.zeros((size, width, width), dtype=np.int64)
    for length in range(1, width):
        i = np.arange(width - length)
        j = i + length
        k = i[:, None] + np.arange(length)
        ways = best[:, i[:, None], k] + best[:, k + 1, j[:, None]] + scores[:, k, j[:, None]]
        cut[:, i, j] = i + ways.argmax(2)
        best[:, i, j] = ways.max(2)
    return cut


def _read_off(cut: Ints, n_eojeols: Ints) -> Ints:
    """Read the heads off the cuts, from the whole sentences down. Shape: (batch_size, width)."""
    size, width, _ = cut.shape
    heads = np.zeros((size, width), dtype=np.int64)
    row, i, j = np.arange(size), np.zeros(size, dtype=np.int64), n_eojeols - 1
    while len(row):
        row, i, j = (column[j > i] for column in (row, i, j))
        k = cut[row, i, j]
        heads[row, k] = j + 1
        row, i, j = np.tile(row, 2), np.concatenate((i, k + 1)), np.concatenate((k, j))
    return heads
