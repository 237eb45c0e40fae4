"""Documents in JSON lines."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import SourceRange
from klue_beam.transforms.formats.base import Document, Record, RecordError
from klue_beam.transforms.formats.records import LineFormat, decode_record

JSON_TYPES: Final = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def _refuse_constant(name: str) -> NoReturn:
    raise RecordError(f"malformed JSON: {name} is no JSON number")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def parse_json(line: str, config: ReadConfig) -> Document:
    """Read one line as a JSON object with a text, an id and other fields.

    The id is a string or a number; without one, `doc_id` is None. Of a key that stands twice the last one counts, as
    RFC 8259 says most readers do. NaN and Infinity are no JSON. Other fields are looked at only if they are kept.

    Raises:
      RecordError: if the line is no such object; the message is the reject's reason.

    >>> parse_json('{"id": 7, "text": "눈이 왔다.", "year": 1936}', ReadConfig(keep_metadata=True))
    Document(doc_id='7', text='눈이 왔다.', metadata='{"year": 1936}')
    """
    fields = _load_object(line)
    if config.text_field not in fields:
        raise RecordError(f"missing field: `{config.text_field}`")
    text = fields[config.text_field]
    if not isinstance(text, str):
        raise RecordError(f"wrong type: `{config.text_field}` must be a string, got {_type_name(text)}")
    document = Document(_doc_id(fields, config), text, _metadata(fields, config) if config.keep_metadata else None)
    if "\\u" in line:  # nothing else can bring a lone surrogate into decoded UTF-8
        _refuse_surrogates(document, config)
    return document


class JsonLinesFormat(LineFormat):
    """One JSON object a line."""

    suffixes = (".jsonl", ".ndjson")

    def sample_fields(self, part: SourceRange, rejected: Sequence[bytes]) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002  another format needs it
        """Give the objects among the rejected lines."""
        objects = []
        for line in rejected:
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(line)
                objects += [value] if isinstance(value, dict) else []
        return objects

    def parse(self, record: Record, config: ReadConfig) -> Document:
        """Read one line; a blank one is a document without text."""
        line = decode_record(record, config)
        return parse_json(line, config) if line and not line.isspace() else Document(None, "", None)


FORMAT: Final = JsonLinesFormat()


def _load_object(line: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(line)
    except RecursionError as error:
        raise RecordError("malformed JSON: nested too deeply") from error
    except json.JSONDecodeError as error:
        raise RecordError(f"malformed JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # a number with more digits than Python converts
        raise RecordError(f"malformed JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordError(f"not a JSON object: {_type_name(value)}")
    return value


def _doc_id(fields: dict[str, Any], config: ReadConfig) -> str | None:
    if config.id_field not in fields:
        return None
    doc_id = fields[config.id_field]
    if isinstance(doc_id, str):
        return doc_id
    if isinstance(doc_id, int | float) and not isinstance(doc_id, bool):
        if isinstance(doc_id, float) and math.isinf(doc_id):
            raise RecordError(f"wrong type: `{config.id_field}` is a number out of range")
        return str(doc_id)
    raise RecordError(f"wrong type: `{config.id_field}` must be a string or a number, got {_type_name(doc_id)}")


def _metadata(fields: dict[str, Any], config: ReadConfig) -> str:
    others = {name: value for name, value in fields.items() if name not in (config.text_field, config.id_field)}
    try:
        return json.dumps(others, ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise RecordError("malformed JSON: nested too deeply") from error
    except ValueError as error:
        raise RecordError("metadata: a number is out of range") from error


def _refuse_surrogates(document: Document, config: ReadConfig) -> None:
    for name, value in (
        (config.text_field, document.text),
        (config.id_field, document.doc_id),
        ("", document.metadata),
    ):
        try:
            (value or "").encode()
        except UnicodeEncodeError as error:
            where = f"`{name}`" if name else "the metadata"
            surrogate = ord(error.object[error.start])
            raise RecordError(f"lone surrogate: \\u{surrogate:04x} at character {error.start} of {where}") from error


def _type_name(value: object) -> str:
    return JSON_TYPES.get(type(value), "a number")
