"""How well relations are found: KLUE-RE's micro F1 and AUPRC on gold pairs, and end to end."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from klue_beam.schemas.labels import NO_RELATION, RE_TYPE_TO_ENTITY_TYPE, RELATIONS
from klue_beam.transforms.base.codepoints import Bools
from klue_beam.transforms.tasks.entity.score import ScoredMention, read_scored_mentions
from klue_beam.transforms.tasks.metrics import Doubles, auprc, count_labels, without_label
from klue_beam.transforms.tasks.relation.gold import RelationExample
from klue_beam.transforms.tasks.relation.pairs import marker_type
from klue_beam.transforms.tasks.report import (
    FurtherTable,
    Mistake,
    Report,
    Rows,
    count_confusions,
    find_surest,
    measure_calibration,
    score_labels,
)

MENTION_COLUMNS: Final = {
    "type": "type",
    "found": "recall",
    "subjects": "of subjects",
    "objects": "of objects",
    "spans": "of spans alone",
    "gold": "gold",
}


class MentionRecall(NamedTuple):
    """Which share of KLUE-RE's gold mentions of a type a model finds by itself, in percent.

    Attributes:
      type: of the mentions, by KLUE-NER's names.
      gold: how many there are; a sentence that stands in several rows counts in each.
      found: with the very span and the type.
      subjects, objects: the same of either role; None where the type never has it.
      spans: with the very span, whatever the type: end to end, a relation asks for no more.
    """

    type: str
    gold: int
    found: float
    subjects: float | None
    objects: float | None
    spans: float


def score_answers(examples: Sequence[RelationExample], answers: Sequence[Any], rows: Rows | None) -> Report:
    """Score annotated rows and what was answered for the gold pairs.

    Args:
      examples: gold rows.
      answers: as `score_gold_pairs` gives them.
      rows: with entities and relations; None where the model finds no entities.
    """
    probabilities = np.array(answers, np.float64)
    if rows is None:
        return score_relations(examples, probabilities)
    entities = [[entity for row in here for entity in read_scored_mentions(row)] for here in rows]
    found = [_relation_of_gold_pair(example, here) for example, here in zip(examples, rows, strict=True)]
    return score_relations(examples, probabilities, found, entities)


def _relation_of_gold_pair(example: RelationExample, rows: Sequence[Mapping[str, Any]]) -> str:
    """Give the relation found between entities with the very spans of the gold pair, or no_relation."""
    for row in rows:
        spans = [(entity.mention.begin, entity.mention.end) for entity in read_scored_mentions(row)]
        for relation in row["relations"] or ():
            if (spans[relation["subject"]], spans[relation["object"]]) == (example.subject[:2], example.object[:2]):
                return str(relation["label"])
    return NO_RELATION


def score_relations(
    examples: Sequence[RelationExample],
    probabilities: Doubles,
    end_to_end: Sequence[str] | None = None,
    entities: Sequence[Sequence[ScoredMention]] | None = None,
) -> Report:
    """Score KLUE-RE.

    Args:
      examples: gold rows.
      probabilities: of RELATIONS for the gold pair; NaN where the model could not score it (the two are further apart
        than it sees), which counts as no_relation. Shape: (n_rows, n_relations).
      end_to_end: the relation found for the gold pair where the entities were found too, else no_relation.
      entities: the entities found in each sentence; with them, recall of the gold mentions is measured.
    """
    gold = np.array([RELATIONS.index(example.label) for example in examples], np.int64)
    no_relation = RELATIONS.index(NO_RELATION)
    scored: Bools = ~np.isnan(probabilities.sum(1))
    probabilities = np.where(scored[:, None], probabilities, np.eye(len(RELATIONS))[no_relation])
    predicted = probabilities.argmax(1)
    counts = count_labels(gold, predicted, len(RELATIONS))
    details = {
        "pairs_not_scored": 100 * float((~scored).mean()),
        **measure_calibration(probabilities[scored].max(1), (gold == predicted)[scored]),
    }
    if end_to_end is not None:
        found = np.array([RELATIONS.index(label) if label in RELATIONS else -1 for label in end_to_end], np.int64)
        details["end_to_end_micro_f1"] = without_label(
            count_labels(gold, found, len(RELATIONS)), no_relation
        ).micro_f1()
    wrong = [
        Mistake(_marked(example), example.label, RELATIONS[label], float(probability[label]) if is_scored else 0.0)
        for example, label, probability, is_scored in zip(
            examples, predicted.tolist(), probabilities, scored.tolist(), strict=True
        )
        if RELATIONS[label] != example.label
    ]
    return Report(
        len(examples),
        {"micro_f1": without_label(counts, no_relation).micro_f1(), "auprc": auprc(gold, probabilities)},
        details,
        score_labels(RELATIONS, counts),
        count_confusions((mistake.gold, mistake.predicted) for mistake in wrong),
        find_surest(wrong),
        (_mention_table(score_mentions(examples, entities)),) if entities is not None else (),
    )


def score_mentions(
    examples: Sequence[RelationExample], entities: Sequence[Sequence[ScoredMention]]
) -> list[MentionRecall]:
    """Measure which share of KLUE-RE's gold subjects and objects is found in running text, by type.

    An entity's type is the one by which a relation model is told of it (`marker_type`): KLUE-RE has no TI and QT, its
    numerals are NOH.

    Args:
      examples: gold rows.
      entities: those found in each row's sentence.

    Returns:
      The types that occur, in the order of PS, LC, OG, DT, POH, NOH.
    """
    tallies: collections.defaultdict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for example, here in zip(examples, entities, strict=True):
        found = {entity.mention._replace(type=marker_type(entity.mention.type)) for entity in here}
        spans = {mention[:2] for mention in found}
        for role, mention in (("subjects", example.subject), ("objects", example.object)):
            tally, is_found = tallies[mention.type], mention in found
            tally.update({"gold": 1, role: 1, "found": is_found, f"found {role}": is_found})
            tally["spans"] += mention[:2] in spans

    def share(tally: collections.Counter[str], role: str) -> float | None:
        return 100 * tally[f"found {role}"] / tally[role] if tally[role] else None

    return [
        MentionRecall(
            type=kind,
            gold=tally["gold"],
            found=100 * tally["found"] / tally["gold"],
            subjects=share(tally, "subjects"),
            objects=share(tally, "objects"),
            spans=100 * tally["spans"] / tally["gold"],
        )
        for kind in RE_TYPE_TO_ENTITY_TYPE.values()
        if (tally := tallies[kind])
    ]


def _marked(example: RelationExample) -> str:
    """Show a sentence with its subject in 「」 and its object in 〈〉."""
    text = example.text
    marks = sorted([(example.subject, "「", "」"), (example.object, "〈", "〉")], reverse=True)
    for mention, opening, closing in marks:
        text = f"{text[: mention.begin]}{opening}{text[mention.begin : mention.end]}{closing}{text[mention.end :]}"
    return text


def _mention_table(mentions: Sequence[MentionRecall]) -> FurtherTable:
    return FurtherTable("mentions", "Mentions of the gold pairs, found in running text", MENTION_COLUMNS, mentions)
