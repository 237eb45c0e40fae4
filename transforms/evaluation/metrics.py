"""KLUE's metrics by their official definitions, and calibration. Every score is in percent.

References: Park et al., 2021, https://arxiv.org/abs/2105.09680, section 3 and the metrics of KLUE-baseline;
Nakayama, 2018, "seqeval" (strict IOB2); Guo et al., 2017, https://arxiv.org/abs/1706.04599 (calibration).
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.schemas.labels import DEPRELS
from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.tasks.gold import NER_TAGS, Mention

Floats = npt.NDArray[np.float64]

MERGED_DEPRELS_FROM: Final = 15
"""KLUE's labelled macro F1 takes DEPRELS from this one on as a single label."""


@dataclasses.dataclass(frozen=True, slots=True)
class LabelCounts:
    """How often each label was right, predicted and gold. Shape of each: (n_labels,)."""

    correct: Ints
    predicted: Ints
    gold: Ints

    def f1(self) -> Floats:
        """Give each label's F1; NaN where it is neither gold nor predicted."""
        return _percent(2 * self.correct, self.predicted + self.gold)

    def precision(self) -> Floats:
        """Give each label's precision; NaN where it is never predicted."""
        return _percent(self.correct, self.predicted)

    def recall(self) -> Floats:
        """Give each label's recall; NaN where it never is gold."""
        return _percent(self.correct, self.gold)

    def macro_f1(self) -> float:
        """Average F1 over the labels that are gold or predicted anywhere; NaN without any."""
        f1 = self.f1()
        return float(np.nanmean(f1)) if not np.isnan(f1).all() else float("nan")

    def micro_f1(self) -> float:
        """Give the F1 of all labels' decisions together; NaN without any."""
        return float(_percent(2 * self.correct.sum(), self.predicted.sum() + self.gold.sum()))


def count_labels(gold: Ints, predicted: Ints, n_labels: int) -> LabelCounts:
    """Count one decision a row.

    Args:
      gold: label ids. Shape: (n_rows,).
      predicted: label ids; -1 is no label and always wrong. Shape: (n_rows,).
      n_labels: ids are below it.

    Raises:
      ValueError: if the two differ in length.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"`predicted` must have a label for each of the {len(gold)} rows, got {len(predicted)}.")

    def count(ids: Ints) -> Ints:
        return np.bincount(ids[ids >= 0], minlength=n_labels)

    return LabelCounts(count(gold[gold == predicted]), count(predicted), count(gold))


def without_label(counts: LabelCounts, label: int) -> LabelCounts:
    """Leave one label out, as KLUE-RE does with no_relation and KLUE-NER with O."""
    keep = np.arange(len(counts.gold)) != label
    return LabelCounts(counts.correct[keep], counts.predicted[keep], counts.gold[keep])


def count_entities(
    gold: Sequence[Iterable[Mention]], predicted: Sequence[Iterable[Mention]], types: Sequence[str]
) -> LabelCounts:
    """Count entities; one is right if its type, begin and end are (strict IOB2 as in seqeval).

    Args:
      gold: the entities of each sentence.
      predicted: those found in each.
      types: those that count, in the order of the result.

    Raises:
      ValueError: if the two differ in length.
    """
    tallies: list[collections.Counter[str]] = [collections.Counter() for _ in range(3)]
    for true, found in zip(gold, predicted, strict=True):
        true_set, found_set = set(true), set(found)
        for tally, mentions in zip(tallies, (true_set & found_set, found_set, true_set), strict=True):
            tally.update(mention.type for mention in mentions)
    return LabelCounts(*(np.array([tally[name] for name in types], np.int64) for tally in tallies))


def count_characters(
    texts: Sequence[str], gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> LabelCounts:
    """Count character tags over NER_TAGS, white space left out.

    KLUE-NER's character F1 is the macro F1 of these counts without O (`without_label(counts, 0)`). So says
    KLUE-baseline, whose code averages O in.

    Raises:
      ValueError: if a sentence's tags are not as many as its characters.
    """
    tag_ids = {tag: index for index, tag in enumerate(NER_TAGS)}
    kept: tuple[list[int], list[int]] = ([], [])
    for text, *both in zip(texts, gold, predicted, strict=True):
        for ids, tags in zip(kept, both, strict=True):
            if len(tags) != len(text):
                raise ValueError(
                    f"A tag is needed for each of {len(text)} characters, got {len(tags)} for {text[:40]!r}."
                )
            ids.extend(tag_ids[tag] for char, tag in zip(text, tags, strict=True) if not char.isspace())
    return count_labels(np.array(kept[0], np.int64), np.array(kept[1], np.int64), len(NER_TAGS))


def area_under_pr_curve(gold: Bools, scores: Floats) -> float:
    """Measure the area under the precision-recall curve by trapezoids, as KLUE-baseline does; NaN without a positive.

    Args:
      gold: which rows are positive. Shape: (n_rows,).
      scores: higher means more likely positive. Shape: (n_rows,).

    >>> round(area_under_pr_curve(np.array([True, False, True]), np.array([0.9, 0.8, 0.7])), 2)
    79.17
    """
    if not gold.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(gold[order])
    # Rows of one score cannot be told apart: the curve has a point only where the score changes.
    last_of_score = np.append(np.diff(scores[order]) != 0, True)
    precision = np.append(1.0, (hits / np.arange(1, len(hits) + 1))[last_of_score])
    recall = np.append(0.0, (hits / hits[-1])[last_of_score])
    return float(100 * np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def auprc(gold: Ints, probabilities: Floats) -> float:
    """Average the area under the precision-recall curve over the classes; those that never are gold are left out.

    Args:
      gold: class ids. Shape: (n_rows,).
      probabilities: Shape: (n_rows, n_classes).
    """
    areas = [area_under_pr_curve(gold == label, probabilities[:, label]) for label in range(probabilities.shape[1])]
    return float(np.nanmean(areas))


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


def expected_calibration_error(confidences: Floats, correct: Bools, n_bins: int = 15) -> float:
    """Measure how far confidence and accuracy lie apart: the mean gap over equal-width bins, weighted by their rows.

    Args:
      confidences: probabilities given to the decisions, from 0 to 1. Shape: (n_rows,).
      correct: whether each was right. Shape: (n_rows,).
      n_bins: bins from 0 to 1.

    Reference: Guo et al., 2017, https://arxiv.org/abs/1706.04599

    >>> expected_calibration_error(np.array([0.75, 0.75]), np.array([True, False]))
    25.0
    """
    bins = np.minimum((confidences * n_bins).astype(np.int64), n_bins - 1)
    gaps = np.bincount(bins, weights=confidences - correct, minlength=n_bins)
    return float(100 * np.abs(gaps).sum() / max(len(confidences), 1))


def deprel_ids(deprels: Iterable[str]) -> Ints:
    """Give the indexes of deprels in DEPRELS, -1 for one of another scheme."""
    known = {deprel: index for index, deprel in enumerate(DEPRELS)}
    return np.array([known.get(deprel, -1) for deprel in deprels], np.int64)


def _percent(part: Ints, whole: Ints) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100 * np.divide(part, whole), np.float64)
