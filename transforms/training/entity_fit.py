"""Fitting how entities are read off a model's scores, on labelled sentences that training never saw."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
import torch

from klue_beam.transforms.base.codepoints import Ints, to_code_points
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.engine.engine import MultiTaskEngine
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.entity.gold import EntityExample, mentions_of_tags
from klue_beam.transforms.tasks.entity.spans import Entities, drop_unsure, score_odds
from klue_beam.transforms.tasks.entity.tagging import bio_tags, count_transitions
from klue_beam.transforms.training.calibration import fit_calibration

TRANSITION_WEIGHTS: Final = (0.0, 0.15, 0.3, 0.45)
"""How much a transition between tags may count beside a tag's own score."""


def fit_entities(model: MultiTaskModel, tokenizer: TextTokenizer, examples: Sequence[EntityExample]) -> ModelSpec:
    """Choose how entities are read off the tags' scores, by the entity macro F1 of labelled sentences.

    That is the weight of the transitions between tags (counted in these sentences), and the scores that entities must
    reach. An entity's score is the mean over its characters; how often one of that score is right is fitted on those
    kept.

    Args:
      model, tokenizer: the model, its temperatures fitted.
      examples: sentences with known tags.

    Returns:
      The model's spec with `tag_transitions`, `min_entity_score`, `min_inside_score` and the calibration `entity` (none
      where no entity is kept). The model keeps its own.

    Raises:
      ValueError: if the model finds no entities by design.
    """
    if "ner" not in model.spec.tasks:
        raise ValueError("The model must have the task ner, got one without it. Leave --ner_data out.")
    before = model.spec
    tags = _tags_of(examples, before.of["ner"].ner_types)
    raw = {name: fitted for name, fitted in before.calibration.items() if name != "entity"}
    free = dataclasses.replace(before, calibration=raw).change("ner", min_entity_score=0.0, min_inside_score=0.0)
    best, best_f1 = free, -1.0
    for weight in TRANSITION_WEIGHTS:
        counted = count_transitions(tags, len(bio_tags(free.of["ner"].ner_types)), weight).round(4).tolist()
        rows = tuple(tuple(row) for row in counted) if weight else ()
        model.spec = free.change("ner", tag_transitions=rows)
        fitted, f1 = _fit_scores(model, tokenizer, examples)
        if f1 > best_f1:
            best, best_f1 = fitted, f1
    model.spec = before
    return best


def _tags_of(examples: Sequence[EntityExample], types: Sequence[str]) -> list[Ints]:
    """Number the known tags of sentences, white space left out."""
    numbers = {tag: number for number, tag in enumerate(bio_tags(types))}
    tags = [
        np.array(
            [numbers[tag] for char, tag in zip(e.text, e.tags, strict=True) if not char.isspace() and tag is not None]
        )
        for e in examples
    ]
    return [sequence for sequence in tags if len(sequence)]


def _fit_scores(
    model: MultiTaskModel, tokenizer: TextTokenizer, examples: Sequence[EntityExample]
) -> tuple[ModelSpec, float]:
    """Choose the scores that entities must reach, and fit what they are worth; gives the spec and the macro F1."""
    texts, spec = [example.text for example in examples], model.spec
    engine = MultiTaskEngine(model, tokenizer, ("ner",), token_budget=4096, max_pairs=1)
    found = cast("Entities", engine.annotate(texts).entities)
    gold = {
        (number, mention.begin, mention.end, mention.type)
        for number, example in enumerate(examples)
        for mention in mentions_of_tags(example.tags)
    }
    chars = to_code_points(texts)
    offset = chars.offsets[found.text]
    # The number of each entity travels as its text, so that the kept ones can be told.
    flat = dataclasses.replace(found, text=np.arange(len(found)), begin=found.begin + offset, end=found.end + offset)
    labels = np.array(found.labels)[found.label]
    spans = zip(found.text.tolist(), found.begin.tolist(), found.end.tolist(), labels.tolist(), strict=True)
    right = np.array([span in gold for span in spans], dtype=bool)
    wanted = {label: sum(span[3] == label for span in gold) for label in spec.of["ner"].ner_types}
    best, best_f1 = (0.0, 0.0), -1.0
    for score, inside in itertools.product(np.arange(0.0, 0.91, 0.05), (0.0, 0.7, 0.8, 0.9)):
        kept = drop_unsure(flat, chars, score, inside).text
        f1 = float(
            np.mean(
                [
                    2 * right[kept][labels[kept] == label].sum() / max(1, (labels[kept] == label).sum() + count)
                    for label, count in wanted.items()
                ]
            )
        )
        if f1 > best_f1:
            best, best_f1 = (round(float(score), 2), inside), f1
    spec = spec.change("ner", min_entity_score=best[0], min_inside_score=best[1])
    kept = drop_unsure(flat, chars, *best).text
    # Mentions of the types that only KLUE-RE has stand in no gold row, right or wrong.
    kept = kept[np.isin(labels[kept], spec.of["ner"].ner_types)]
    if not len(kept):
        return spec, best_f1
    odds = torch.from_numpy(score_odds(found.score[kept]))
    worth = fit_calibration(odds, torch.from_numpy(right[kept]).long(), with_prior=True)
    return dataclasses.replace(spec, calibration={**spec.calibration, "entity": worth}), best_f1
