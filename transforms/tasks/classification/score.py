"""How well texts are labelled: macro F1, accuracy, calibration."""

from collections.abc import Sequence

import numpy as np

from klue_beam.transforms.tasks.classification.gold import LabelledText
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


def score_texts(examples: Sequence[LabelledText], rows: Rows, column: str, labels: Sequence[str]) -> Report:
    """Score the labels of texts.

    Args:
      examples: gold rows.
      rows: what was annotated; without a label (null, or no row) a text counts as wrong.
      column: where the label and its score stand.
      labels: the label set; a label outside it counts as wrong.
    """
    found = [here[0][column] if here else None for here in rows]
    guesses = [(label["label"], label["score"]) if label else (NOTHING, 0.0) for label in found]
    number = {label: i for i, label in enumerate(labels)}
    gold = np.array([number[example.label] for example in examples], np.int64)
    predicted = np.array([number.get(label, -1) for label, _ in guesses], np.int64)
    scores = np.array([score for _, score in guesses], np.float64)
    counts = count_labels(gold, predicted, len(labels))
    wrong = [
        Mistake(example.text, example.label, label, score)
        for example, (label, score) in zip(examples, guesses, strict=True)
        if label != example.label
    ]
    return Report(
        len(examples),
        {"macro_f1": counts.macro_f1()},
        {"accuracy": 100 * float((gold == predicted).mean()), **measure_calibration(scores, gold == predicted)},
        score_labels(labels, counts),
        count_confusions((mistake.gold, mistake.predicted) for mistake in wrong),
        find_surest(wrong),
    )
