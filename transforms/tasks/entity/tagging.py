"""The best tags of sequences of characters, given what each tag scores and which tag likes to follow which."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.tasks.columns import Probabilities

Scores = npt.NDArray[np.float64]
"""Logarithms of probabilities, or what is added to them."""

_LEAST_PROBABILITY: Final = 1e-9
"""Less counts as so much, so that every score is a number."""

_NEVER_SEEN: Final = 0.1
"""Is added to each count."""


def bio_tags(types: Sequence[str]) -> tuple[str, ...]:
    """Give the BIO tags of entity types, O first, then B and I of each type.

    >>> bio_tags(["PS", "LC"])
    ('O', 'B-PS', 'I-PS', 'B-LC', 'I-LC')
    """
    return ("O", *(f"{prefix}-{name}" for name in types for prefix in "BI"))


def find_best_tags(probabilities: Probabilities, group: Ints, transitions: Scores) -> Ints:
    """Find the sequences of tags whose scores and transitions sum to the most.

    Args:
      probabilities: of each tag; the first one is O. Shape: (n_chars, n_tags).
      group: the sequence that each character is of, ascending. Shape: (n_chars,).
      transitions: what it adds that a tag (column) follows another (row); the last row is for the first character of a
        sequence. Shape: (n_tags + 1, n_tags).

    Returns:
      Shape: (n_chars,).

    Reference: Viterbi, 1967, https://doi.org/10.1109/TIT.1967.1054010
    """
    if not len(group):
        return np.zeros(0, dtype=np.int64)
    scores = np.log(np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY))
    new_group = np.concatenate(([True], group[1:] != group[:-1]))
    is_outside = _find_certain_outside(scores, transitions)
    # What lies between two such characters does not hang on what lies beyond them.
    first = np.flatnonzero(~is_outside & (new_group | np.concatenate(([True], is_outside[:-1]))))
    tags = np.zeros(len(scores), dtype=np.int64)
    if not len(first):
        return tags
    breaks = np.flatnonzero(np.concatenate((is_outside | new_group, [True])))
    end = breaks[np.searchsorted(breaks, first, side="right")]
    # Longest first, so that the runs that reach a position are the first so many.
    order = np.argsort(first - end, kind="stable")
    first, end = first[order], end[order]
    before = np.where(new_group[first], len(transitions) - 1, 0)
    goes_on = ~np.concatenate((new_group, [True]))[end]
    after = np.where(goes_on[:, None], transitions[:-1, 0], 0.0)
    _walk(scores, first, end, transitions[before], after, transitions[:-1], tags)
    return tags


def _walk(
    scores: Scores, first: Ints, end: Ints, before: Scores, after: Scores, transitions: Scores, tags: Ints
) -> None:
    """Write the best tags of runs, longest first, step by step for all of them at once.

    Args:
      scores: Shape: (n_chars, n_tags).
      first, end: of each run. Shape: (n_runs,).
      before, after: what each tag gets as a run's first and last. Shape: (n_runs, n_tags).
      transitions: Shape: (n_tags, n_tags).
      tags: is written to. Shape: (n_chars,).
    """
    lengths = end - first
    reaching = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")
    best = scores[first] + before
    came_from = np.zeros(scores.shape, dtype=np.int64)
    for step in range(1, lengths[0]):
        n = reaching[step]
        here = first[:n] + step
        ways = best[:n, :, None] + transitions
        came_from[here] = ways.argmax(1)
        best[:n] = ways.max(1) + scores[here]
    tag = (best + after).argmax(1)
    for step in range(lengths[0] - 1, -1, -1):
        n = reaching[step]
        here = first[:n] + step
        tags[here] = tag[:n]
        tag[:n] = came_from[here, tag[:n]]


def _find_certain_outside(scores: Scores, transitions: Scores) -> Bools:
    """Tell which characters are O whatever stands beside them. Shape: (n_chars,).

    Another tag can win there only by less than what its transitions to both neighbours are better than O's at most.
    """
    into = (transitions - transitions[:, :1]).max(0)
    inner = transitions[:-1]
    out_of = np.maximum((inner - inner[0]).max(1), 0.0)
    certain: Bools = (scores[:, :1] - scores[:, 1:] > (into + out_of)[1:]).all(1)
    return certain


def count_transitions(tags: list[Ints], n_tags: int, weight: float) -> Scores:
    """Make transitions from known tags: how often each follows another, as a weighted logarithm.

    Args:
      tags: of some sequences, none of them empty. Shape of each: (n_chars,).
      n_tags: of the tags.
      weight: of a transition beside a tag's own score.

    Returns:
      As `find_best_tags` takes them. Shape: (n_tags + 1, n_tags).
    """
    counts = np.full((n_tags + 1, n_tags), _NEVER_SEEN)
    for sequence in tags:
        counts[-1, sequence[0]] += 1
        np.add.at(counts, (sequence[:-1], sequence[1:]), 1)
    transitions: Scores = weight * np.log(counts / counts.sum(1, keepdims=True))
    return transitions
