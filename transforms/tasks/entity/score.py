"""How well entities are found: KLUE-NER's entity F1 (strict IOB2) and character F1.

References: Park et al., 2021, https://arxiv.org/abs/2105.09680; Nakayama, 2018, "seqeval" (strict IOB2).
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from klue_beam.schemas.labels import NER_TYPES
from klue_beam.transforms.tasks.entity.gold import NER_TAGS, EntityExample, Mention, mention_tags, mentions_of_tags
from klue_beam.transforms.tasks.metrics import LabelCounts, count_labels, without_label
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


class ScoredMention(NamedTuple):
    """An entity that a model found."""

    mention: Mention
    score: float


def read_scored_mentions(row: Mapping[str, Any]) -> list[ScoredMention]:
    """Read a row's entities, with offsets in the document."""
    begin = row["begin"]
    return [
        ScoredMention(Mention(begin + entity["begin"], begin + entity["end"], entity["label"]), entity["score"])
        for entity in row["entities"] or ()
    ]


def score_rows(examples: Sequence[EntityExample], rows: Rows) -> Report:
    """Score annotated rows, see `score_entities`."""
    return score_entities(examples, [[entity for row in here for entity in read_scored_mentions(row)] for here in rows])


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
            **measure_calibration(scores, right),
        },
        score_labels(NER_TYPES, counts),
        count_confusions(pairs),
        find_surest(wrong),
    )


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
        tags[mention.begin : mention.end] = mention_tags(mention)
    return tags
