"""A report on a model's scores, drawn in a terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from klue_beam.transforms.evaluation.scoring import Confusion, LabelScore, MentionRecall, Mistake, Report

PUBLISHED: Final[Mapping[str, Mapping[str, float]]] = {
    "tc": {"macro_f1": 85.73},
    "ner": {"entity_f1": 83.97, "character_f1": 91.39, "character_f1_with_outside": 91.39},
    "re": {"micro_f1": 66.44, "auprc": 66.17},
    "dp": {"uas_macro_f1": 89.96, "las_macro_f1": 88.05},
}
"""KLUE-BERT-base on the whole official dev sets: Park et al., 2021, https://arxiv.org/abs/2105.09680.

Of characters KLUE-baseline says that O is left out, and its code averages it in: the score stands beside both.
"""

METRIC_NAMES: Final[Mapping[str, str]] = {
    "macro_f1": "macro F1",
    "entity_f1": "entity macro F1",
    "character_f1": "character macro F1",
    "character_f1_with_outside": "character macro F1, O averaged in as KLUE's code does",
    "entity_micro_f1": "entity micro F1",
    "micro_f1": "micro F1 without no_relation, gold pairs",
    "auprc": "AUPRC, gold pairs",
    "end_to_end_micro_f1": "micro F1 end to end, entities found by NER",
    "pairs_not_scored": "gold pairs too far apart to score",
    "uas": "UAS",
    "las": "LAS",
    "uas_macro_f1": "UAS, macro F1 of KLUE",
    "las_macro_f1": "LAS, macro F1 of KLUE",
    "trees_right": "sentences with every arc right",
    "accuracy": "accuracy",
    "expected_calibration_error": "expected calibration error",
}

CONFUSIONS_SHOWN: Final = 12


def draw_report(console: Console, task: str, title: str, rows_note: str, report: Report) -> None:
    """Draw a report: metrics beside KLUE-BERT-base's, mentions found, a table by label, confusions, surest mistakes.

    Args:
      console: where to.
      task: one of TASKS.
      title: the model and the data.
      rows_note: which rows were scored.
      report: what to draw.
    """
    console.print(Text(f"{task}: {title}", style="bold"), soft_wrap=True)
    console.print(Text(f"{report.rows:,} rows: {rows_note}."), soft_wrap=True)
    mentions = [("Mentions of the gold pairs, found in running text", _mentions(report.mentions))]
    for heading, table in (
        ("Scores", _metrics(task, report)),
        *(mentions if report.mentions else ()),
        ("By label", _labels(report.labels)),
        (f"Confusions, the {CONFUSIONS_SHOWN} most frequent", _confusions(report.confusions)),
    ):
        console.print()
        console.print(Text(heading, style="bold"))
        console.print(table)
    console.print()
    console.print(Text("The surest mistakes", style="bold"))
    _print_mistakes(console, report.mistakes)


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def _metrics(task: str, report: Report) -> Table:
    table = Table("metric", "score", "KLUE-BERT-base", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    published = PUBLISHED[task]
    for name, value in {**report.metrics, **report.details}.items():
        table.add_row(METRIC_NAMES[name], _number(value), f"{published[name]:.2f}" if name in published else "")
    return table


def _mentions(mentions: Sequence[MentionRecall]) -> Table:
    table = Table("type", "recall", "of subjects", "of objects", "of spans alone", "gold", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in mentions:
        recalls = (row.found, row.subjects, row.objects, row.spans)
        table.add_row(row.type, *map(_number, recalls), f"{row.gold:,}")
    return table


def _labels(labels: Sequence[LabelScore]) -> Table:
    table = Table("label", "precision", "recall", "F1", "gold", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in labels:
        table.add_row(row.label, _number(row.precision), _number(row.recall), _number(row.f1), f"{row.gold:,}")
    return table


def _confusions(confusions: Sequence[Confusion]) -> Table:
    table = Table("gold", "taken for", "times", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for confusion in confusions[:CONFUSIONS_SHOWN]:
        table.add_row(confusion.gold, confusion.predicted, f"{confusion.times:,}")
    return table


def _print_mistakes(console: Console, mistakes: Sequence[Mistake]) -> None:
    for mistake in mistakes:
        line = Text(f"{mistake.score:.3f}  ", style="dim")
        line.append(f"{mistake.predicted}", style="red").append(" for ").append(mistake.gold, style="green")
        console.print(line, soft_wrap=True)
        console.print(Text(f"       {mistake.text}"), soft_wrap=True)
