"""Sentences with their entities: KLUE-NER's files of characters and tags, and JSON lines of spans."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from klue_beam.schemas.labels import NER_TYPES
from klue_beam.transforms.tasks.entity.tagging import bio_tags
from klue_beam.transforms.tasks.gold import blocks, is_json, read_json, read_text, show_row
from klue_beam.transforms.tasks.records import Record, shorten, take_guid, take_int, take_label, take_list, take_string

NER_TAGS: Final = bio_tags(NER_TYPES)
"""KLUE-NER's character tags: O, B-PS, I-PS, B-LC, …"""


@dataclasses.dataclass(frozen=True, slots=True)
class EntityExample:
    """A sentence with one tag a character, a space included.

    Attributes:
      guid: the sentence's name in its file.
      text: the sentence.
      tags: out of NER_TAGS, as many as `text` has code points; None where it is not known what the character is
        (labels that are guessed, never a file's own).
    """

    guid: str
    text: str
    tags: tuple[str | None, ...]


class Mention(NamedTuple):
    """A typed span of a sentence: half-open code points, `type` out of ENTITY_TYPES."""

    begin: int
    end: int
    type: str


def read_entities(path: str) -> list[EntityExample]:
    r"""Read sentences with their entities.

    Either a KLUE-NER file: lines of character, tab, tag; a `## guid<tab>sentence` line before, a blank line after. Or
    JSON (a list, or one object a line) with `text` and `entities`, each with `begin`, `end` (half-open code points) and
    `label`.

    Raises:
      ValueError: on what is no such file, with its path and line (the row of a JSON list).
      OSError: if it cannot be read.
    """
    text = read_text(path)
    return read_json(path, text, _entities_of_record) if is_json(text) else _read_klue(path, text)


def _read_klue(path: str, text: str) -> list[EntityExample]:
    examples = []
    for guid, first_line, rows in blocks(text):
        for number, row in enumerate(rows, first_line):
            if len(row) != 2 or len(row[0]) != 1 or row[1] not in NER_TAGS:
                raise ValueError(
                    f"{path}, line {number}: a KLUE-NER line must be one character, a tab and a tag "
                    f"out of {', '.join(NER_TAGS)}, got {show_row(row)}. Correct it, or give JSON lines."
                )
        examples.append(EntityExample(guid, "".join(row[0] for row in rows), tuple(row[1] for row in rows)))
    return examples


def _entities_of_record(record: Record, guid: str) -> EntityExample:
    text = take_string(record, "text")
    tags = [NER_TAGS[0]] * len(text)
    for number, entity in enumerate(take_list(record, "entities")):
        name = f"entities[{number}]"
        mention = read_mention(text, entity, name, NER_TYPES)
        if any(tag != NER_TAGS[0] for tag in tags[mention.begin : mention.end]):
            raise ValueError(f"`{name}` must not share a character with an entity before it, got {tuple(mention[:2])}.")
        tags[mention.begin : mention.end] = mention_tags(mention)
    return EntityExample(take_guid(record, guid), text, tuple(tags))


def read_mention(text: str, span: Any, name: str, types: Sequence[str]) -> Mention:
    """Read a span of a JSON record: `begin`, `end`, `label`, and `text` if there is one, which must stand there.

    Args:
      text: the sentence.
      span: the JSON value.
      name: what messages call it.
      types: the labels that it can have.

    Raises:
      KeyError, TypeError, ValueError: on anything else.
    """
    if not isinstance(span, dict):
        raise TypeError(f"`{name}` must be a JSON object with `begin`, `end` and `label`, got {shorten(span)}.")
    begin, end = take_int(span, "begin"), take_int(span, "end")
    if not 0 <= begin < end <= len(text):
        raise ValueError(
            f"`{name}` must be a span of the text's {len(text)} characters, `begin` before `end`, got {begin} to {end}."
        )
    label = take_label(span, "label", types)
    if "text" in span and span["text"] != text[begin:end]:
        raise ValueError(
            f"`{name}` must be what stands at its place, got {shorten(span['text'])} where the text has "
            f"{text[begin:end]!r}."
        )
    return Mention(begin, end, label)


def mention_tags(mention: Mention) -> list[str]:
    """Give the tags of a mention's characters.

    >>> mention_tags(Mention(3, 6, "PS"))
    ['B-PS', 'I-PS', 'I-PS']
    """
    return [f"B-{mention.type}", *[f"I-{mention.type}"] * (mention.end - mention.begin - 1)]


def mentions_of_tags(tags: Sequence[str | None]) -> list[Mention]:
    """Give the entities that character tags mark.

    Strict IOB2: an entity begins with B- and goes on with I- of its type.

    Args:
      tags: out of NER_TAGS, or None where it is not known what the character is.

    Returns:
      The entities in order of begin; an I- that goes on with nothing is none.

    >>> mentions_of_tags(["B-PS", "I-PS", "O", "I-LC", "B-LC"])
    [Mention(begin=0, end=2, type='PS'), Mention(begin=4, end=5, type='LC')]
    """
    mentions, begin, inside = [], 0, ""
    for index, tag in enumerate([*tags, "O"]):
        if inside and tag != inside:
            mentions.append(Mention(begin, index, inside[2:]))
            inside = ""
        if tag and tag.startswith("B-"):
            begin, inside = index, f"I-{tag[2:]}"
    return mentions
