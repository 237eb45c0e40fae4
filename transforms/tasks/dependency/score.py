"""How well trees are found: attachment scores, and KLUE-DP's macro F1 of heads and of deprels.

Reference: Park et al., 2021, https://arxiv.org/abs/2105.09680.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from klue_beam.schemas.labels import DEPRELS
from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.tasks.dependency.gold import DependencyExample
from klue_beam.transforms.tasks.metrics import count_labels
from klue_beam.transforms.tasks.report import (
    NOTHING,
    Mistake,
    Report,
    Rows,
    count_confusions,
    find_surest,
    measure_calibration,
    score_labels,
)

MERGED_DEPRELS_FROM: Final = 15
"""KLUE's labelled macro F1 takes DEPRELS from this one on as a single label."""


class ScoredArc(NamedTuple):
    """An arc that a model found: 1-based head (0 the root), deprel, probability of both."""

    head: int
    deprel: str
    score: float


def score_rows(examples: Sequence[DependencyExample], rows: Rows) -> Report:
    """Score annotated rows, see `score_dependencies`."""
    trees = [here[0]["dependencies"] if here else None for here in rows]
    return score_dependencies(
        examples,
        [[ScoredArc(arc["head"], arc["deprel"], arc["score"]) for arc in tree] if tree else None for tree in trees],
    )


def score_dependencies(examples: Sequence[DependencyExample], trees: Sequence[Sequence[ScoredArc] | None]) -> Report:
    """Score KLUE-DP.

    Args:
      examples: gold trees.
      trees: the arcs found, one an eojeol; None, or another number of eojeols, counts as wrong throughout.
    """
    none = ScoredArc(-1, NOTHING, 0.0)
    arcs: list[ScoredArc] = []
    for example, tree in zip(examples, trees, strict=True):
        fits = tree is not None and len(tree) == len(example.forms)
        arcs += tree if tree is not None and fits else [none] * len(example.forms)
    gold_heads = np.array([head for example in examples for head in example.heads], np.int64)
    gold_deprels = [deprel for example in examples for deprel in example.deprels]
    heads = np.array([arc.head for arc in arcs], np.int64)
    attachment = score_attachments(gold_heads, deprel_ids(gold_deprels), heads, deprel_ids(a.deprel for a in arcs))
    right_head = gold_heads == heads
    right = right_head & (np.array(gold_deprels) == np.array([arc.deprel for arc in arcs]))
    labels = np.where(right_head, deprel_ids(arc.deprel for arc in arcs), -1)
    counts = count_labels(deprel_ids(gold_deprels), labels, len(DEPRELS))
    words = [(example, word) for example in examples for word in range(len(example.forms))]
    wrong = [
        Mistake(
            f"{example.forms[word]} ({example.text})",
            _arc_shown(example, example.heads[word], example.deprels[word]),
            _arc_shown(example, arc.head, arc.deprel),
            arc.score,
        )
        for (example, word), arc, is_right in zip(words, arcs, right, strict=True)
        if not is_right
    ]
    same_head = zip(gold_deprels, arcs, right_head.tolist(), strict=True)
    scores = np.array([arc.score for arc in arcs], np.float64)
    return Report(
        len(examples),
        dataclasses.asdict(attachment),
        {"trees_right": 100 * _share_of_whole(examples, right), **measure_calibration(scores, right)},
        score_labels(DEPRELS, counts),
        count_confusions((label, arc.deprel) for label, arc, is_same in same_head if is_same and label != arc.deprel),
        find_surest(wrong),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class AttachmentScores:
    """How well dependency trees match.

    Attributes:
      uas, las: share of eojeols with the right head, and with the right head and deprel.
      uas_macro_f1: macro F1 over head positions, as KLUE's leaderboard has it.
      las_macro_f1: macro F1 over deprels, those past the first 15 merged into one, an eojeol with a wrong head counting
        as a prediction of a further label that is never gold (so it is averaged in as 0), as on KLUE's leaderboard.
    """

    uas: float
    las: float
    uas_macro_f1: float
    las_macro_f1: float


def score_attachments(gold_heads: Ints, gold_deprels: Ints, heads: Ints, deprels: Ints) -> AttachmentScores:
    """Score heads and deprels of all eojeols of a corpus.

    Args:
      gold_heads: 1-based heads, 0 for the root. Shape: (n_eojeols,).
      gold_deprels: indexes into DEPRELS. Shape: (n_eojeols,).
      heads: predicted heads; -1 is none. Shape: (n_eojeols,).
      deprels: predicted deprels; -1 is another label. Shape: (n_eojeols,).

    Raises:
      ValueError: if the predictions are not as many as the eojeols.
    """
    right_head = gold_heads == heads
    n_heads = int(max(gold_heads.max(initial=0), heads.max(initial=0))) + 1
    merged, wrong_head = MERGED_DEPRELS_FROM, MERGED_DEPRELS_FROM + 1
    labels = np.where(deprels < 0, merged, np.minimum(deprels, merged))
    labels = np.where(right_head, labels, wrong_head)
    counts = count_labels(np.minimum(gold_deprels, merged), labels, wrong_head + 1)
    return AttachmentScores(
        uas=100 * float(right_head.mean()),
        las=100 * float((right_head & (gold_deprels == deprels)).mean()),
        uas_macro_f1=count_labels(gold_heads, heads, n_heads).macro_f1(),
        las_macro_f1=counts.macro_f1(),
    )


def deprel_ids(deprels: Iterable[str]) -> Ints:
    """Give the indexes of deprels in DEPRELS, -1 for one of another scheme."""
    known = {deprel: index for index, deprel in enumerate(DEPRELS)}
    return np.array([known.get(deprel, -1) for deprel in deprels], np.int64)


def _arc_shown(example: DependencyExample, head: int, deprel: str) -> str:
    if head < 0:
        return NOTHING
    return f"{deprel} → {example.forms[head - 1] if head else 'root'}"


def _share_of_whole(examples: Sequence[DependencyExample], right: Bools) -> float:
    starts = np.cumsum([0, *(len(example.forms) for example in examples)])[:-1]
    return float(np.logical_and.reduceat(right, starts).mean())
