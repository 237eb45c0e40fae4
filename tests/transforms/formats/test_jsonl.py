"""One JSON line: a document, or the reason why not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.schemas.config import ReadConfig
from klue_beam.transforms.formats.base import Document, RecordError
from klue_beam.transforms.formats.jsonl import parse_json

METADATA = ReadConfig(input_format="jsonl", keep_metadata=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None)
@given(text=st.text(), doc_id=st.text() | st.integers(), others=st.dictionaries(st.text(), VALUES, max_size=3))
def test_what_was_dumped_is_read_back(text: str, doc_id: str | int, others: dict[str, object]) -> None:
    """Text, id and the other fields come back, however they were escaped; the metadata is JSON of UTF-8."""
    fields = {**others, "text": text, "id": doc_id}
    for ascii_only in (False, True):
        found = parse_json(json.dumps(fields, ensure_ascii=ascii_only), METADATA)
        assert (found.doc_id, found.text) == (str(doc_id), text)
        assert json.loads((found.metadata or "").encode()) == {
            name: value for name, value in others.items() if name not in ("text", "id")
        }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a"', r"malformed JSON: Expecting ',' delimiter at character 12"),
        ('{"text": "a"} {}', "malformed JSON: Extra data at character 14"),
        ("{'text': 'a'}", "malformed JSON: Expecting property name"),
        ('{"text": "a\tb"}', "malformed JSON: Invalid control character"),
        ('{"text": "a", "score": NaN}', "malformed JSON: NaN is no JSON number"),
        ('{"text": "a", "score": -Infinity}', "malformed JSON: -Infinity is no JSON number"),
        ('{"text": "a", "id": ' + "1" * 5000 + "}", "malformed JSON: Exceeds the limit"),
        ('{"text": "a", "x": ' + "[" * 100_000, "malformed JSON: nested too deeply"),
        ('{"text": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "malformed JSON: nested too deeply"),
        ('["text"]', "not a JSON object: an array"),
        ('"text"', "not a JSON object: a string"),
        ("12", "not a JSON object: a number"),
        ("null", "not a JSON object: null"),
        ('{"id": "a", "Text": "b"}', "missing field: `text`"),
        ('{"text": 3}', "wrong type: `text` must be a string, got a number"),
        ('{"text": null}', "wrong type: `text` must be a string, got null"),
        ('{"text": ["a"]}', "wrong type: `text` must be a string, got an array"),
        ('{"text": "a", "id": true}', "wrong type: `id` must be a string or a number, got a boolean"),
        ('{"text": "a", "id": null}', "wrong type: `id` must be a string or a number, got null"),
        ('{"text": "a", "id": {}}', "wrong type: `id` must be a string or a number, got an object"),
        ('{"text": "a", "id": 1e999}', "wrong type: `id` is a number out of range"),
        ('{"text": "a", "x": [1e999]}', "metadata: a number is out of range"),
        ('{"text": "ab\\ud800c"}', r"lone surrogate: \\ud800 at character 2 of `text`"),
        ('{"text": "a", "id": "\\udfff"}', r"lone surrogate: \\udfff at character 0 of `id`"),
        ('{"text": "a", "x": {"\\udc00": 1}}', r"lone surrogate: \\udc00 at character 8 of the metadata"),
    ],
)
def test_each_fault_has_its_reason(line: str, reason: str) -> None:
    with pytest.raises(RecordError, match=f"^{reason}"):
        parse_json(line, METADATA)


def test_other_fields_are_not_looked_at_unless_kept() -> None:
    line = '{"text": "a", "x": ["\\ud800", 1e999]}'
    assert parse_json(line, ReadConfig(input_format="jsonl")) == Document(None, "a", None)


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    assert parse_json('{"text": "a", "text": "b", "x": 1, "x": 2}', METADATA) == Document(None, "b", '{"x": 2}')


def test_fields_go_by_the_names_asked_for() -> None:
    config = ReadConfig(input_format="jsonl", text_field="본문", id_field="번호", keep_metadata=True)
    found = parse_json('{"본문": "눈", "번호": 12345678901234567890123, "text": "x", "id": "y"}', config)
    assert found == Document("12345678901234567890123", "눈", '{"text": "x", "id": "y"}')
