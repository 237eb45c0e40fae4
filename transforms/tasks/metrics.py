"""Metrics of labels by their official definitions, and calibration. Every score is in percent.

References: Park et al., 2021, https://arxiv.org/abs/2105.09680, section 3 and the metrics of KLUE-baseline; Guo et al.,
2017, https://arxiv.org/abs/1706.04599 (calibration).
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Ints

Doubles = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class LabelCounts:
    """How often each label was right, predicted and gold. Shape of each: (n_labels,)."""

    correct: Ints
    predicted: Ints
    gold: Ints

    def f1(self) -> Doubles:
        """Give each label's F1; NaN where it is neither gold nor predicted."""
        return _percent(2 * self.correct, self.predicted + self.gold)

    def precision(self) -> Doubles:
        """Give each label's precision; NaN where it is never predicted."""
        return _percent(self.correct, self.predicted)

    def recall(self) -> Doubles:
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


def area_under_pr_curve(gold: Bools, scores: Doubles) -> float:
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


def auprc(gold: Ints, probabilities: Doubles) -> float:
    """Average the area under the precision-recall curve over the classes; those that never are gold are left out.

    Args:
      gold: class ids. Shape: (n_rows,).
      probabilities: Shape: (n_rows, n_classes).
    """
    areas = [area_under_pr_curve(gold == label, probabilities[:, label]) for label in range(probabilities.shape[1])]
    return float(np.nanmean(areas))


def expected_calibration_error(confidences: Doubles, correct: Bools, n_bins: int = 15) -> float:
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


def _percent(part: Ints, whole: Ints) -> Doubles:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100 * np.divide(part, whole), np.float64)
