"""From gold examples and what a model found to a report: metrics, a table by label, confusions, confident mistakes."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from klue_beam.schemas.labels import DEPRELS, NER_TYPES, NO_RELATION, RE_TYPE_TO_ENTITY_TYPE, RELATIONS, TOPICS
from klue_beam.transforms.base.codepoints import Bools
from klue_beam.transforms.evaluation.metrics import (
    Floats,
    LabelCounts,
    auprc,
    count_characters,
    count_entities,
    count_labels,
    deprel_ids,
    expected_calibration_error,
    score_attachments,
    without_label,
)
from klue_beam.transforms.tasks.gold import (
    NER_TAGS,
    DependencyExample,
    EntityExample,
    Mention,
    RelationExample,
    TopicExample,
    mentions_of_tags,
)
from klue_beam.transforms.tasks.relation.pairs import marker_type

NOTHING: Final = "–"
"""Stands for no label in a confusion: what was missed, or found where nothing is."""

MISTAKES_SHOWN: Final = 10


class ScoredMention(NamedTuple):
    """An entity that a model found."""

    mention: Mention
    score: float


class ScoredArc(NamedTuple):
    """An arc that a model found: 1-based head (0 the root), deprel, probability of both."""

    head: int
    deprel: str
    score: float


class LabelScore(NamedTuple):
    """How well one label is found, in percent, and how many gold ones there are."""

    label: str
    precision: float
    recall: float
    f1: float
    gold: int


class Confusion(NamedTuple):
    """How often a gold label was taken for another one; NOTHING stands for none."""

    gold: str
    predicted: str
    times: int


class Mistake(NamedTuple):
    """A wrong decision, and how sure the model was of it, from 0 to 1."""

    text: str
    gold: str
    predicted: str
    score: float


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


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """How well a model does on a task.

    Attributes:
      rows: examples scored.
      metrics: KLUE's metrics, in percent.
      details: further measures, in percent.
      labels: by label.
      confusions: most frequent first.
      mistakes: surest first.
      mentions: recall of KLUE-RE's mentions by type; empty for other tasks, and for a model that finds none by itself.
    """

    rows: int
    metrics: Mapping[str, float]
    details: Mapping[str, float]
    labels: Sequence[LabelScore]
    confusions: Sequence[Confusion]
    mistakes: Sequence[Mistake]
    mentions: Sequence[MentionRecall] = ()


def score_topics(examples: Sequence[TopicExample], topics: Sequence[tuple[str, float] | None]) -> Report:
    """Score KLUE-TC.

    Args:
      examples: gold rows.
      topics: label and score found for each; None where there is none, which counts as wrong.
    """
    gold = np.array([TOPICS.index(example.label) for example in examples], np.int64)
    labels = [topic[0] if topic else NOTHING for topic in topics]
    scores = np.array([topic[1] if topic else 0.0 for topic in topics], np.float64)
    predicted = np.array([TOPICS.index(label) if label in TOPICS else -1 for label in labels], np.int64)
    counts = count_labels(gold, predicted, len(TOPICS))
    found = list(zip(examples, labels, scores.tolist(), strict=True))
    wrong = [Mistake(e.text, e.label, label, score) for e, label, score in found if label != e.label]
    return Report(
        len(examples),
        {"macro_f1": counts.macro_f1()},
        {"accuracy": 100 * float((gold == predicted).mean()), **_calibration(scores, gold == predicted)},
        _label_scores(TOPICS, counts),
        _confusions((mistake.gold, mistake.predicted) for mistake in wrong),
        _surest(wrong),
    )


def score_entities(examples: Sequence[EntityExample], entities: Sequence[Sequence[ScoredMention]]) -> Report:
    """Score KLUE-NER; mentions of types that KLUE-NER does not label are left out.

    Args:
      examples: gold sentences, no tag None.
      entities: what was found in each, disjoint.
    """
    gold = [mentions_of_tags(example.tags) for example in examples]
    found = [[entity for entity in here if entity.mention.type in NER_TYPES] for here in entities]
    counts = count_entities(gold, [[entity.mention for entity in here] for here in found], NER_TYPES)
    texts = [example.text for example in examples]
    gold_tags = [[str(tag) for tag in example.tags] for example in examples]
    tags = [_tags(len(text), (entity.mention for entity in here)) for text, here in zip(texts, found, strict=True)]
    characters = count_characters(texts, gold_tags, tags)
    pairs: list[tuple[str, str]] = []
    wrong: list[Mistake] = []
    for text, true, here in zip(texts, gold, found, strict=True):
        mentions = [entity.mention for entity in here]
        pairs += _entity_confusions(true, mentions)
        for mention, score in here:
            if mention not in true:
                there = [other for other in true if _overlap(other, mention)]
                wrong.append(Mistake(text, _shown(text, there), _shown(text, [mention]), score))
    scores = np.array([entity.score for here in found for entity in here], np.float64)
    right = np.array(
        [entity.mention in true for true, here in zip(gold, found, strict=True) for entity in here], np.bool_
    )
    return Report(
        len(examples),
        {"entity_f1": counts.macro_f1(), "character_f1": without_label(characters, 0).macro_f1()},
        {
            "entity_micro_f1": counts.micro_f1(),
            "character_f1_with_outside": characters.macro_f1(),
            **_calibration(scores, right),
        },
        _label_scores(NER_TYPES, counts),
        _confusions(pairs),
        _surest(wrong),
    )


def score_relations(
    examples: Sequence[RelationExample],
    probabilities: Floats,
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
        **_calibration(probabilities[scored].max(1), (gold == predicted)[scored]),
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
        _label_scores(RELATIONS, counts),
        _confusions((mistake.gold, mistake.predicted) for mistake in wrong),
        _surest(wrong),
        score_mentions(examples, entities) if entities is not None else (),
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
        {"trees_right": 100 * _share_of_whole(examples, right), **_calibration(scores, right)},
        _label_scores(DEPRELS, counts),
        _confusions((label, arc.deprel) for label, arc, is_same in same_head if is_same and label != arc.deprel),
        _surest(wrong),
    )


def _calibration(scores: Floats, right: Bools) -> dict[str, float]:
    return {"expected_calibration_error": expected_calibration_error(scores, right)}


def _label_scores(labels: Sequence[str], counts: LabelCounts) -> list[LabelScore]:
    """Lay counts out by label, those that occur, the most frequent first."""
    columns = (counts.precision(), counts.recall(), counts.f1(), counts.gold)
    rows = [LabelScore(label, *(column[i].item() for column in columns)) for i, label in enumerate(labels)]
    occurring = [row for row in rows if not np.isnan(row.f1)]
    return sorted(occurring, key=lambda row: -row.gold)


def _confusions(pairs: Iterable[tuple[str, str]]) -> list[Confusion]:
    return [Confusion(*pair, count) for pair, count in collections.Counter(pairs).most_common()]


def _surest(mistakes: Sequence[Mistake]) -> list[Mistake]:
    return sorted(mistakes, key=lambda mistake: -mistake.score)[:MISTAKES_SHOWN]


def _overlap(one: Mention, other: Mention) -> bool:
    return one.begin < other.end and other.begin < one.end


def _entity_confusions(gold: Sequence[Mention], found: Sequence[Mention]) -> list[tuple[str, str]]:
    """Pair each wrong entity with what is there: another type, another span of the type, or nothing."""
    pairs = []
    for mention in gold:
        if mention not in found:
            there = [other for other in found if _overlap(other, mention) and other not in gold]
            label = there[0].type if there else NOTHING
            pairs.append((mention.type, label if label != mention.type else f"{label} (span)"))
    for mention in found:
        if mention not in gold and not any(_overlap(other, mention) for other in gold):
            pairs.append((NOTHING, mention.type))
    return pairs


def _shown(text: str, mentions: Sequence[Mention]) -> str:
    return ", ".join(f"{text[m.begin : m.end]}:{m.type}" for m in mentions) or NOTHING


def _tags(length: int, mentions: Iterable[Mention]) -> list[str]:
    tags = [NER_TAGS[0]] * length
    for mention in mentions:
        rest = mention.end - mention.begin - 1
        tags[mention.begin : mention.end] = [f"B-{mention.type}", *[f"I-{mention.type}"] * rest]
    return tags


def _marked(example: RelationExample) -> str:
    """Show a sentence with its subject in 「」 and its object in 〈〉."""
    text = example.text
    marks = sorted([(example.subject, "「", "」"), (example.object, "〈", "〉")], reverse=True)
    for mention, opening, closing in marks:
        text = f"{text[: mention.begin]}{opening}{text[mention.begin : mention.end]}{closing}{text[mention.end :]}"
    return text


def _arc_shown(example: DependencyExample, head: int, deprel: str) -> str:
    if head < 0:
        return NOTHING
    return f"{deprel} → {example.forms[head - 1] if head else 'root'}"


def _share_of_whole(examples: Sequence[DependencyExample], right: Bools) -> float:
    starts = np.cumsum([0, *(len(example.forms) for example in examples)])[:-1]
    return float(np.logical_and.reduceat(right, starts).mean())
