"""Labelled texts, one label each: JSON, JSON lines, or CSV."""

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

from klue_beam.transforms.tasks.gold import is_json, read_json, read_records, read_text
from klue_beam.transforms.tasks.records import Record, take_guid, take_label, take_string

TEXT_FIELDS: Final = ("text", "title", "sentence")
"""What the text of a record may be called; KLUE-TC calls it `title`."""


@dataclasses.dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and its label."""

    guid: str
    text: str
    label: str


def read_labelled_texts(path: str, labels: Sequence[str]) -> list[LabelledText]:
    """Read labelled texts: a JSON list, JSON lines, or CSV, with the fields `text` (or `title`) and `label`.

    Args:
      path: the file, plain or compressed.
      labels: those that a text can have.

    Raises:
      ValueError: if the file is malformed; the message has the path and the line (the row of a JSON list).
      OSError: if it cannot be read.
    """

    def convert(record: Record, guid: str) -> LabelledText:
        name = next((name for name in TEXT_FIELDS if name in record), TEXT_FIELDS[0])
        return LabelledText(take_guid(record, guid), take_string(record, name), take_label(record, "label", labels))

    text = read_text(path)
    if not text.strip():
        return []
    return read_json(path, text, convert) if is_json(text) else read_records(path, _csv_records(path, text), convert)


def _csv_records(path: str, text: str) -> Iterator[tuple[str, Any]]:
    """Give the rows of a CSV file by their headers, each with the line that it ends at."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    names = set(reader.fieldnames or ())
    if "label" not in names or not names & set(TEXT_FIELDS):
        raise ValueError(
            f"{path}, line 1: a file of labelled texts must be JSON, JSON lines, or CSV with the columns `text` (or "
            f"`title`) and `label`, got {text.split(chr(10), 1)[0][:80]!r}. Name the columns so."
        )
    try:
        for row in reader:
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.reader.line_num}: malformed CSV: {error}. Correct its quotes."
        ) from error
