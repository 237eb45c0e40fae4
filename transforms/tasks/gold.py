"""What all readers of labelled files share: whole texts, JSON records with their places, and seeded splits.

A task's own formats are in its folder (`gold.py` there). A file may be plain or compressed (.gz, .bz2, .xz, .zst).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from klue_beam.transforms.formats.bytes import read_blocks
from klue_beam.transforms.formats.unpacking import StreamBreakError
from klue_beam.transforms.tasks.learnable import HeldOut
from klue_beam.transforms.tasks.records import SHOWN_CHARS, Record

HALVES_SEED: Final = "klue-beam-halves-1"


class Example(Protocol):
    """A labelled text of any task."""

    @property
    def guid(self) -> str:
        """Its name in its file; empty where it has none."""
        ...

    @property
    def text(self) -> str:
        """The sentence."""
        ...


AnyExample = TypeVar("AnyExample", bound=Example)


def read_text(path: str) -> str:
    """Read a whole labelled file; every line ends in a line feed alone afterwards.

    Raises:
      ValueError: if its compression is broken or it is not UTF-8; the message has the path, and the line of what is
        wrong.
      OSError: if it cannot be read.
    """
    data = _read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: a labelled file must be UTF-8, got {error.object[error.start :][:8]!r}. Convert it, "
            "as in iconv -f CP949 -t UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_bytes(path: str) -> bytes:
    try:
        return b"".join(read_blocks(path))
    except StreamBreakError as error:
        raise ValueError(
            f"{path} must be a whole file in the compression that its name says, got: {error}. Fetch or compress it "
            "again, or correct the name."
        ) from error


def is_json(text: str) -> bool:
    r"""Tell JSON (a list or lines of objects) from tables: a table begins otherwise, or has a tab after the bracket.

    >>> is_json('[{"a": 1}]'), is_json("[\tO"), is_json("title,label")
    (True, False, False)
    """
    start = text.lstrip()[:2]
    return start[:1] in ("[", "{") and start[1:] != "\t"


def read_json(path: str, text: str, convert: Callable[[Record, str], AnyExample]) -> list[AnyExample]:
    """Read a JSON list of objects, or one object a line.

    Args:
      path: named in messages.
      text: the file's content.
      convert: makes an example of a record and of the name that it gets where it has none; it raises KeyError for an
        absent field, TypeError or ValueError for a wrong one.

    Raises:
      ValueError: if the file is malformed; the message has the path and the line (the row of a JSON list).
    """
    return read_records(path, _json_records(path, text), convert)


def _json_records(path: str, text: str) -> Iterator[tuple[str, Any]]:
    """Give the values of a JSON list, or of JSON lines, each with its place."""
    if text.lstrip()[:1] == "[":
        for number, row in enumerate(_parse_json(path, 1, text), 1):
            yield f"row {number}", row
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _parse_json(path, number, line)


def _parse_json(path: str, first_line: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {first_line + error.lineno - 1}: malformed JSON: {error.msg}. Correct the line."
        ) from error
    except (RecursionError, ValueError) as error:  # nested without end; a number of thousands of digits
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{path}, line {first_line}: malformed JSON: {what}. Correct the line.") from None


def read_records(
    path: str, records: Iterator[tuple[str, Any]], convert: Callable[[Record, str], AnyExample]
) -> list[AnyExample]:
    """Make examples of records; a wrong one is named by the path and its place.

    Args:
      path: named in messages.
      records: each with its place, as "line 3".
      convert: makes an example, as in `read_json`.

    Raises:
      ValueError: on a record that is no object, lacks a field, or holds what the field cannot be.
    """
    examples = []
    for number, (place, record) in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise ValueError(
                f"{path}, {place}: a record must be a JSON object, got {str(record)[:SHOWN_CHARS]!r}. Correct it, or "
                "remove it."
            )
        try:
            examples.append(convert(record, f"row-{number}"))
        except KeyError as error:
            raise ValueError(
                f"{path}, {place}: the field {error} is missing, got {', '.join(map(str, record)) or 'none'}. Add it."
            ) from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, {place}: {error} Correct it, or remove the record.") from error
    return examples


def blocks(text: str) -> Iterator[tuple[str, int, list[list[str]]]]:
    r"""Give the sentences of a tab-separated KLUE file: guid, the number of the first line, lines cut at tabs.

    A line is told from a comment by `## `, and a guid by the `## ` line that stands just before the sentence.
    """
    guid, first_line, rows = "", 0, list[list[str]]()
    sentences = 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.startswith("## ") or not line.strip("\t "):
            if rows:
                yield guid or f"sentence-{sentences}", first_line, rows
                sentences, rows = sentences + 1, []
            guid = line[3:].split("\t", 1)[0].strip() if line.startswith("## ") else ""
            continue
        first_line = first_line if rows else number
        rows.append(line.split("\t"))


def show_row(row: Sequence[str]) -> str:
    """Show a line that was cut at tabs."""
    return repr("\t".join(row)[:SHOWN_CHARS])


def halve_examples(examples: Sequence[AnyExample]) -> tuple[list[AnyExample], list[AnyExample]]:
    """Split examples into a half to fit calibration on and a half to quote scores on, by a seeded hash of the text.

    Returns:
      The half to fit on, the other half; both in the given order.
    """
    return split_examples(examples, HALVES_SEED, 0.5)


def split_held_out(
    examples: Sequence[AnyExample], held_out: HeldOut | None
) -> tuple[list[AnyExample], list[AnyExample]]:
    """Split examples into those to train on and those that training leaves out.

    Args:
      examples: labelled texts of a task.
      held_out: the task's.

    Returns:
      Those to train on, those held out (none without `held_out`); both in the given order.
    """
    if held_out is None:
        return list(examples), []
    left_out, learnt = split_examples(examples, held_out.seed, held_out.share)
    return learnt, left_out


def split_examples(
    examples: Sequence[AnyExample], seed: str, share: float
) -> tuple[list[AnyExample], list[AnyExample]]:
    """Split off a share of some examples by a seeded hash of the text.

    An example falls always on the same side, whatever else is in the list, and two of one text on one side.

    Args:
      examples: labelled texts.
      seed: of the hash.
      share: of all hashes, from 0 to 1.

    Returns:
      Those whose hash falls into the share, and the others; both in the given order.
    """
    parts: tuple[list[AnyExample], list[AnyExample]] = ([], [])
    for example in examples:
        digest = hashlib.sha256(f"{seed}\n{example.text}".encode()).digest()
        parts[int.from_bytes(digest[:8], "big") >= share * 2**64].append(example)
    return parts
