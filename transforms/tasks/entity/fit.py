"""Fitting how entities are read off a model's scores, on labelled sentences that training never saw."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from klue_beam.transforms.base.codepoints import Bools, CodePoints, Ints, to_code_points
from klue_beam.transforms.tasks.calibration import fit_calibration
from klue_beam.transforms.tasks.entity.gold import EntityExample, mentions_of_tags
from klue_beam.transforms.tasks.entity.spans import Entities, drop_unsure, score_odds
from klue_beam.transforms.tasks.entity.tagging import bio_tags, count_transitions
from klue_beam.transforms.tasks.learning import Fit
from klue_beam.transforms.tasks.spec import Calibration

TRANSITION_WEIGHTS: Final = (0.0, 0.15, 0.3, 0.45)
"""How much a transition between tags may count beside a tag's own score."""


SCORES: Final = tuple(round(float(score), 2) for score in np.arange(0.0, 0.91, 0.05))
INSIDE_SCORES: Final = (0.0, 0.7, 0.8, 0.9)
"""The scores that entities may have to reach, and those that begin inside a word."""


def fit_entities(fit: Fit, spec: Any) -> Any:
    """Choose how entities are read off the tags' scores, by the entity macro F1 of labelled sentences.

    That is the weight of the transitions between tags (counted in these sentences), and the scores that entities must
    reach. An entity's score is the mean over its characters; how often one of that score is right is fitted on those
    kept.

    Args:
      fit: the model and sentences with known tags.
      spec: the model's ModelSpec, its temperatures fitted.

    Returns:
      The spec with `tag_transitions`, `min_entity_score`, `min_inside_score` and the calibration `entity`; without
      that where no entity is kept.
    """
    types = spec.of["ner"].ner_types
    tags = _tags_of(fit.examples, types)
    raw = {name: fitted for name, fitted in spec.calibration.items() if name != "entity"}
    free = dataclasses.replace(spec, calibration=raw).change("ner", min_entity_score=0.0, min_inside_score=0.0)
    best, best_f1 = free, -1.0
    for weight in TRANSITION_WEIGHTS:
        counted = count_transitions(tags, len(bio_tags(types)), weight).round(4).tolist()
        transitions = tuple(tuple(row) for row in counted) if weight else ()
        fitted, f1 = _fit_scores(fit, free.change("ner", tag_transitions=transitions))
        if f1 > best_f1:
            best, best_f1 = fitted, f1
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Judged:
    """Entities that a model found, and which of them are right.

    Attributes:
      flat: them, with spans in the flat array of code points; `text` is the number of each, so that those kept can be
        told.
      chars: the texts' code points.
      labels: the type of each. Shape: (n_entities,).
      right: whether it stands so among the gold ones. Shape: (n_entities,).
      wanted: how many gold ones there are, by type.
    """

    flat: Entities
    chars: CodePoints
    labels: Any
    right: Bools
    wanted: dict[str, int]

    def keep(self, score: float, inside: float) -> Ints:
        """Give the numbers of those that reach the scores."""
        return drop_unsure(self.flat, self.chars, score, inside).text

    def macro_f1(self, score: float, inside: float) -> float:
        """Give the macro F1 over the types of those that reach the scores, from 0 to 1."""
        kept = self.keep(score, inside)
        right, labels = self.right[kept], self.labels[kept]
        shares = [
            2 * right[labels == label].sum() / max(1, (labels == label).sum() + count)
            for label, count in self.wanted.items()
        ]
        return float(np.mean(shares))


def _judge(found: Entities, examples: Sequence[EntityExample], types: Sequence[str]) -> _Judged:
    gold = {
        (number, mention.begin, mention.end, mention.type)
        for number, example in enumerate(examples)
        for mention in mentions_of_tags(example.tags)
    }
    chars = to_code_points([example.text for example in examples])
    offset = chars.offsets[found.text]
    flat = dataclasses.replace(found, text=np.arange(len(found)), begin=found.begin + offset, end=found.end + offset)
    labels = np.array(found.labels)[found.label]
    spans = zip(found.text.tolist(), found.begin.tolist(), found.end.tolist(), labels.tolist(), strict=True)
    right = np.array([span in gold for span in spans], dtype=bool)
    return _Judged(flat, chars, labels, right, {label: sum(span[3] == label for span in gold) for label in types})


def _fit_scores(fit: Fit, spec: Any) -> tuple[Any, float]:
    """Choose the scores that entities must reach, and fit what they are worth; gives the spec and the macro F1."""
    types = spec.of["ner"].ner_types
    found: Entities = fit.annotate(spec, [example.text for example in fit.examples])
    judged = _judge(found, fit.examples, types)
    best, best_f1 = (0.0, 0.0), -1.0
    for bounds in itertools.product(SCORES, INSIDE_SCORES):
        f1 = judged.macro_f1(*bounds)
        if f1 > best_f1:
            best, best_f1 = bounds, f1
    spec = spec.change("ner", min_entity_score=best[0], min_inside_score=best[1])
    kept = judged.keep(*best)
    # Mentions of the types that only KLUE-RE has stand in no gold row, right or wrong.
    kept = kept[np.isin(judged.labels[kept], types)]
    if not len(kept):
        return spec, best_f1
    worth = _fit_worth(found.score[kept], judged.right[kept])
    return dataclasses.replace(spec, calibration={**spec.calibration, "entity": worth}), best_f1


def _fit_worth(scores: Any, right: Bools) -> Calibration:
    return fit_calibration(torch.from_numpy(score_odds(scores)), torch.from_numpy(right).long(), with_prior=True)
