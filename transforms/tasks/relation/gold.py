"""Sentences with two mentions and the relation between them: KLUE-RE's JSON, and JSON lines of spans."""

import dataclasses

from klue_beam.schemas.labels import ENTITY_TYPES, RE_TYPE_TO_ENTITY_TYPE, RELATIONS
from klue_beam.transforms.tasks.entity.gold import Mention, read_mention
from klue_beam.transforms.tasks.gold import read_json, read_text
from klue_beam.transforms.tasks.records import (
    Record,
    shorten,
    take_guid,
    take_int,
    take_label,
    take_object,
    take_string,
)


@dataclasses.dataclass(frozen=True, slots=True)
class RelationExample:
    """A sentence, its two mentions, and the relation between them, one of RELATIONS."""

    guid: str
    text: str
    subject: Mention
    object: Mention
    label: str


def read_relations(path: str) -> list[RelationExample]:
    """Read sentences with a pair of mentions each: a JSON list, or one JSON object a line.

    Either KLUE-RE's records (`sentence`, `subject_entity`, `object_entity`, `label`), whose spans become half-open and
    whose types get KLUE-NER's names (RE_TYPE_TO_ENTITY_TYPE); or records of `text`, `subject` and `object`, each with
    `begin`, `end` (half-open code points) and `label` (out of ENTITY_TYPES), and `label`.

    Raises:
      ValueError: if the file is malformed, or a mention's word is not what stands at its place in the sentence; the
        message has the path and the line (the row of a JSON list).
      OSError: if it cannot be read.
    """
    return read_json(path, read_text(path), _relation_of_record)


def _relation_of_record(record: Record, guid: str) -> RelationExample:
    if "subject" in record or "text" in record:
        text = take_string(record, "text")
        subject, object_ = (read_mention(text, record[name], name, ENTITY_TYPES) for name in ("subject", "object"))
    else:
        text = take_string(record, "sentence")
        subject, object_ = (_klue_mention(text, record, name) for name in ("subject_entity", "object_entity"))
    return RelationExample(take_guid(record, guid), text, subject, object_, take_label(record, "label", RELATIONS))


def _klue_mention(text: str, record: Record, name: str) -> Mention:
    entity = take_object(record, name)
    begin, end, word = take_int(entity, "start_idx"), take_int(entity, "end_idx") + 1, entity["word"]
    if text[begin:end] != word or not 0 <= begin < end <= len(text):
        raise ValueError(
            f"`{name}` must be what stands at its place, got {shorten(word)} where the text has {text[begin:end]!r}."
        )
    if entity["type"] not in tuple(RE_TYPE_TO_ENTITY_TYPE):
        raise ValueError(
            f"`{name}.type` must be one of {', '.join(RE_TYPE_TO_ENTITY_TYPE)}, got {shorten(entity['type'])}."
        )
    return Mention(begin, end, RE_TYPE_TO_ENTITY_TYPE[entity["type"]])
