"""What a model in training reaches on labelled rows that it does not learn from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from klue_beam.transforms.evaluation.gold_pairs import score_gold_pairs
from klue_beam.transforms.evaluation.scoring import (
    Report,
    ScoredArc,
    ScoredMention,
    score_dependencies,
    score_entities,
    score_relations,
    score_topics,
)
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.engine.engine import Annotations, MultiTaskEngine
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.gold import Mention
from klue_beam.transforms.training.objectives import device_of


def score_dev_rows(
    model: MultiTaskModel, tokenizer: TextTokenizer, examples: Mapping[str, Sequence[Any]]
) -> dict[str, Report]:
    """Run the engine of annotate over labelled rows and score what comes out.

    Args:
      model: in evaluation mode.
      tokenizer: the model's.
      examples: rows of each task, as klue_beam.transforms.tasks.gold reads them.
    """
    reports = {}
    for task, rows in examples.items():
        engine = MultiTaskEngine(model, tokenizer, [task], token_budget=4096, max_pairs=64, device=device_of(model))
        if task == "re":
            reports[task] = score_relations(rows, score_gold_pairs(engine, rows))
            continue
        found = engine.annotate([row.text for row in rows])
        reports[task] = _score(task, rows, found)
    return reports


def _score(task: str, rows: Sequence[Any], found: Annotations) -> Report:
    if task == "tc" and found.topics is not None:
        labels, topics = found.topics.labels, found.topics
        pairs = zip(topics.label.tolist(), topics.score.tolist(), strict=True)
        return score_topics(rows, [(labels[label], score) if label >= 0 else None for label, score in pairs])
    if task == "ner" and found.entities is not None:
        entities: list[list[ScoredMention]] = [[] for _ in rows]
        these = found.entities
        spans = zip(these.text.tolist(), these.begin.tolist(), these.end.tolist(), strict=True)
        for (text, begin, end), label, score in zip(spans, these.label.tolist(), these.score.tolist(), strict=True):
            entities[text].append(ScoredMention(Mention(begin, end, these.labels[label]), score))
        return score_entities(rows, entities)
    if task == "dp" and found.arcs is not None and found.eojeols is not None:
        trees: list[list[ScoredArc]] = [[] for _ in rows]
        arcs = found.arcs
        texts = np.searchsorted(found.eojeols.offsets, arcs.eojeol, side="right") - 1
        columns = zip(texts.tolist(), arcs.head.tolist(), arcs.label.tolist(), arcs.score.tolist(), strict=True)
        for text, head, label, score in columns:
            trees[text].append(ScoredArc(head, arcs.labels[label], score))
        return score_dependencies(rows, trees)
    raise ValueError(f"A task must be one of tc, ner, re, dp, got {task!r}.")
