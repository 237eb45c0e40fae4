"""Readers of the official KLUE file formats, plain or compressed (.gz, .bz2, .xz, .zst).

Reference: Park et al., 2021, "KLUE: Korean Language Understanding Evaluation", https://arxiv.org/abs/2105.09680
"""

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import smart_open

from klue_beam.schemas.labels import NER_TYPES, RE_TYPE_TO_ENTITY_TYPE, RELATIONS, TOPICS
from klue_beam.transforms.tasks.entity.tagging import bio_tags

NER_TAGS: Final = bio_tags(NER_TYPES)
"""KLUE-NER's character tags: O, B-PS, I-PS, B-LC, …"""

HELD_OUT_SEED: Final = "klue-beam-dp-1"
HELD_OUT_SHARE: Final = 0.2
HALVES_SEED: Final = "klue-beam-halves-1"

Example = TypeVar("Example")
TextExample = TypeVar("TextExample", bound="TopicExample | EntityExample | RelationExample | DependencyExample")


@dataclasses.dataclass(frozen=True, slots=True)
class TopicExample:
    """A KLUE-TC row: a headline and its topic, one of TOPICS."""

    guid: str
    text: str
    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class EntityExample:
    """A KLUE-NER sentence with one tag a character, a space included.

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


@dataclasses.dataclass(frozen=True, slots=True)
class RelationExample:
    """A KLUE-RE row: a sentence, its two mentions, and the relation between them, one of RELATIONS."""

    guid: str
    text: str
    subject: Mention
    object: Mention
    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class DependencyExample:
    """A parsed sentence: for each eojeol its form, its head (1-based, 0 is the root) and its deprel."""

    guid: str
    forms: tuple[str, ...]
    heads: tuple[int, ...]
    deprels: tuple[str, ...]

    @property
    def text(self) -> str:
        """Give the sentence: its eojeols, joined by one space."""
        return " ".join(self.forms)


def read_tc(path: str) -> list[TopicExample]:
    """Read a KLUE-TC (YNAT) file: the official JSON, or a CSV with the columns `title` and `label`.

    Raises:
      ValueError: if the file is malformed; the message has the path and the line (the row of a JSON list).
    """
    text = _read_text(path)
    if _is_json(text):
        return _convert(path, _json_rows(path, text), _topic_of_record)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if not {"title", "label"} <= set(reader.fieldnames or ()):
        raise ValueError(f"{path}, line 1: a KLUE-TC file must be JSON, or CSV with the columns `title` and `label`.")
    try:
        rows = [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.reader.line_num}: malformed CSV: {error}.") from error
    return _convert(path, rows, _topic_of_record)


def read_re(path: str) -> list[RelationExample]:
    """Read a KLUE-RE file, the official JSON list or one JSON object a line.

    Spans become half-open and types KLUE-NER's names (RE_TYPE_TO_ENTITY_TYPE).

    Raises:
      ValueError: if the file is malformed, or a mention's word is not what stands at its place in the sentence; the
        message has the path and the line (the row of a JSON list).
    """
    return _convert(path, _json_rows(path, _read_text(path)), _relation_of_record)


def read_ner(path: str) -> list[EntityExample]:
    r"""Read a KLUE-NER file: lines of character, tab, tag; a `## guid<tab>sentence` line before, a blank line after.

    Raises:
      ValueError: on a line that is no character and tag, with its path and line.
    """
    examples = []
    for guid, first_line, rows in _blocks(path):
        for number, row in enumerate(rows, first_line):
            if len(row) != 2 or len(row[0]) != 1 or row[1] not in NER_TAGS:
                raise ValueError(
                    f"{path}, line {number}: a KLUE-NER line must be one character, a tab and a tag "
                    f"out of {', '.join(NER_TAGS)}, got {_shown(row)}."
                )
        examples.append(EntityExample(guid, "".join(row[0] for row in rows), tuple(row[1] for row in rows)))
    return examples


def read_dp(path: str) -> list[DependencyExample]:
    r"""Read a KLUE-DP file: lines of index, form, lemma, part of speech, head and deprel between tabs.

    Raises:
      ValueError: on a malformed line or a head outside the sentence, with its path and line.
    """
    examples = []
    for guid, first_line, rows in _blocks(path):
        for number, row in enumerate(rows, first_line):
            if (
                len(row) != 6
                or row[0] != str(number - first_line + 1)
                or not row[1]
                or not (row[4].isdecimal() and int(row[4]) <= len(rows))
                or not row[5]
            ):
                raise ValueError(
                    f"{path}, line {number}: a KLUE-DP line must be index (from 1), form, lemma, part of speech, head "
                    f"(0 to the sentence's length) and deprel between tabs, got {_shown(row)}."
                )
        forms, heads, deprels = (tuple(row[column] for row in rows) for column in (1, 4, 5))
        examples.append(DependencyExample(guid, forms, tuple(map(int, heads)), deprels))
    return examples


READERS: Final[Mapping[str, Callable[[str], Sequence[Any]]]] = {
    "tc": read_tc,
    "ner": read_ner,
    "re": read_re,
    "dp": read_dp,
}
"""What reads the rows of each task's files."""


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


def split_dependency_examples(
    examples: Sequence[DependencyExample],
) -> tuple[list[DependencyExample], list[DependencyExample]]:
    """Split KLUE-DP sentences into those to train on and the fifth that training never sees.

    A sentence falls by a seeded hash of its text, so always on the same side, whatever else is in the list, and two
    copies of one sentence on one side.

    Returns:
      Those to train on, those held out; both in the given order.
    """
    held_out, train = _split(examples, HELD_OUT_SEED, HELD_OUT_SHARE)
    return train, held_out


def halve_examples(examples: Sequence[TextExample]) -> tuple[list[TextExample], list[TextExample]]:
    """Split examples into a half to fit calibration on and a half to quote scores on, by a seeded hash of the text.

    Returns:
      The half to fit on, the other half; both in the given order.
    """
    return _split(examples, HALVES_SEED, 0.5)


def _split(examples: Sequence[TextExample], seed: str, share: float) -> tuple[list[TextExample], list[TextExample]]:
    """Split off the examples whose text's hash falls into a share of all hashes; give them, and the others."""
    parts: tuple[list[TextExample], list[TextExample]] = ([], [])
    for example in examples:
        digest = hashlib.sha256(f"{seed}\n{example.text}".encode()).digest()
        parts[int.from_bytes(digest[:8], "big") >= share * 2**64].append(example)
    return parts


def _read_text(path: str) -> str:
    with smart_open.open(path, "rb") as file:
        data: bytes = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: a KLUE file must be UTF-8, got {error.object[error.start :][:8]!r}."
        ) from error


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("[", "{")


def _json_rows(path: str, text: str) -> list[tuple[str, Any]]:
    """Give the records of a JSON list or of JSON lines, each with its place."""
    if text.lstrip()[:1] == "[":
        return [(f"row {number}", row) for number, row in enumerate(_parse_json(path, 1, text), 1)]
    lines = enumerate(text.split("\n"), 1)
    return [(f"line {number}", _parse_json(path, number, line)) for number, line in lines if line.strip()]


def _parse_json(path: str, first_line: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {first_line + error.lineno - 1}: malformed JSON: {error.msg}.") from error


def _convert(path: str, rows: Sequence[tuple[str, Any]], convert: Callable[[Any], Example]) -> list[Example]:
    examples = []
    for place, row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{path}, {place}: a record must be a JSON object, got {str(row)[:80]!r}.")
        try:
            examples.append(convert(row))
        except KeyError as error:
            raise ValueError(f"{path}, {place}: the field {error} is missing.") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, {place}: {error}") from error
    return examples


def _topic_of_record(row: Any) -> TopicExample:
    guid = row["guid"] if "guid" in row else row.get("index", "")
    return TopicExample(str(guid), _string(row, "title"), _out_of(_string(row, "label"), "label", TOPICS))


def _relation_of_record(row: Any) -> RelationExample:
    text = _string(row, "sentence")
    return RelationExample(
        str(row.get("guid", "")),
        text,
        _mention(text, row["subject_entity"], "subject_entity"),
        _mention(text, row["object_entity"], "object_entity"),
        _out_of(_string(row, "label"), "label", RELATIONS),
    )


def _mention(text: str, entity: Any, name: str) -> Mention:
    begin, end, word = entity["start_idx"], entity["end_idx"] + 1, entity["word"]
    if text[begin:end] != word or not 0 <= begin < end <= len(text):
        raise ValueError(
            f"`{name}` must be what stands at its place, got {word!r} where the text has {text[begin:end]!r}."
        )
    entity_type = _out_of(entity["type"], f"{name}.type", tuple(RE_TYPE_TO_ENTITY_TYPE))
    return Mention(begin, end, RE_TYPE_TO_ENTITY_TYPE[entity_type])


def _string(row: Any, name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string, got {value!r}.")
    return value


def _out_of(value: str, name: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {value!r}.")
    return value


def _shown(row: Sequence[str]) -> str:
    return repr("\t".join(row)[:80])


def _blocks(path: str) -> Iterator[tuple[str, int, list[list[str]]]]:
    r"""Give the sentences of a tab-separated KLUE file: guid, the number of the first line, lines cut at tabs.

    A line is told from a comment by `## `, and a guid by the `## ` line that stands just before the sentence.
    """
    guid, first_line, rows = "", 0, list[list[str]]()
    sentences = 0
    for number, line in enumerate([*_read_text(path).split("\n"), ""], 1):
        content = line.removesuffix("\r")
        if content.startswith("## ") or not content.strip("\t "):
            if rows:
                yield guid or f"sentence-{sentences}", first_line, rows
                sentences, rows = sentences + 1, []
            guid = content[3:].split("\t", 1)[0].strip() if content.startswith("## ") else ""
            continue
        first_line = first_line if rows else number
        rows.append(content.split("\t"))
