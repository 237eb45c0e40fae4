"""Records in a byte stream: lines, blocks between blank lines, whole files; and their text."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from klue_beam.schemas.reject import MAX_RAW_BYTES
from klue_beam.transforms.formats.bytes import BYTE_ORDER_MARK, ByteWindow

LINE_END_BYTES: Final = 2  # at most, b"\r\n"


class RecordError(Exception):
    """A record that gives no document; the message is the reject's reason."""


class Record(NamedTuple):
    """One record's place and bytes.

    Attributes:
      begin, end: half-open byte range in the (decompressed) source, line ends and blank lines after a block included.
      content: the bytes without the last line end; of a record that is too long its head alone.
      content_bytes: how many bytes the whole content has.
      complete: False for what stands between the last record's end and a break of the stream.
    """

    begin: int
    end: int
    content: bytes
    content_bytes: int
    complete: bool


class Document(NamedTuple):
    """What a record says. `doc_id` is None where the record names none."""

    doc_id: str | None
    text: str
    metadata: str | None


RecordReader = Callable[[ByteWindow, int], Iterator[Record]]
"""Takes a window at a record's begin and `max_record_bytes`; has passed exactly what it gave when it gives it."""


def line_records(window: ByteWindow, max_record_bytes: int) -> Iterator[Record]:
    r"""Give each line; only b"\n" ends one.

    >>> [record.content for record in line_records(ByteWindow(iter([b"a\r\n\nb", b"c"])), 100)]
    [b'a', b'', b'bc']
    """
    while not window.at_end():
        yield _pass_line(window, max_record_bytes)


def _pass_line(window: ByteWindow, max_record_bytes: int) -> Record:
    line_bytes = _line_bytes(window, max_record_bytes)
    if line_bytes < 0:
        return _pass_long_line(window, max_record_bytes)
    begin, line = window.position, window.peek(line_bytes)
    window.advance(line_bytes)
    content = _without_line_end(line)
    kept = content if len(content) <= max_record_bytes else content[: _head_bytes(max_record_bytes)]
    complete = line.endswith(b"\n") or window.stream_break is None
    return Record(begin, window.position, kept, len(content), complete)


def _line_bytes(window: ByteWindow, max_record_bytes: int) -> int:
    """Measure the line ahead, its end included; -1 if it is too long to be held."""
    limit_bytes = max_record_bytes + LINE_END_BYTES
    line_bytes = window.find_line_end(limit_bytes)
    if line_bytes < 0:  # the source ends here, or the line is longer than the limit
        line_bytes = window.ahead_bytes()
    return line_bytes if line_bytes <= limit_bytes else -1


def _head_bytes(max_record_bytes: int) -> int:
    """Say how much is kept of a longer record: no more than surely was at hand, however the bytes arrived."""
    return min(MAX_RAW_BYTES, max_record_bytes)


def _pass_long_line(window: ByteWindow, max_record_bytes: int) -> Record:
    """Pass a line that is not held in memory."""
    begin, head, tail, line_bytes = window.position, window.peek(_head_bytes(max_record_bytes)), b"", -1
    while line_bytes < 0 and not window.at_end():
        line_bytes = window.find_line_end(0)
        passed = window.peek(line_bytes if line_bytes >= 0 else window.ahead_bytes())
        tail = (tail + passed)[-LINE_END_BYTES:]
        window.advance(len(passed))
    content_bytes = window.position - begin - len(tail) + len(_without_line_end(tail))
    complete = line_bytes >= 0 or window.stream_break is None
    return Record(begin, window.position, head, content_bytes, complete)


def _without_line_end(line: bytes) -> bytes:
    if line.endswith(b"\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(b"\n") else line


def block_records(window: ByteWindow, max_record_bytes: int) -> Iterator[Record]:
    r"""Give each block of lines between blank lines.

    A record begins with the source and at every line with text that stands after a blank line. So each byte is in
    just one record: blank lines belong to the block before them, those before the first text are a blank record.

    >>> [record.content for record in block_records(ByteWindow(iter([b"a\r\nb\n\n \nc\n"])), 100)]
    [b'a\r\nb', b'c']
    """
    while not window.at_end():
        yield _pass_block(window, max_record_bytes)


def _pass_block(window: ByteWindow, max_record_bytes: int) -> Record:
    begin, kept, content_bytes = window.position, bytearray(), 0
    ended = False  # by a blank line that is whole
    while not window.at_end():
        blank_bytes = _blank_line_bytes(window, max_record_bytes)
        if blank_bytes:
            ended = window.peek(blank_bytes).endswith(b"\n")
            window.advance(blank_bytes)
            continue
        if ended:
            break
        line_begin = window.position
        line_bytes = _line_bytes(window, max_record_bytes)
        held = window.peek(line_bytes) if line_bytes >= 0 else b""
        line = _pass_line(window, max_record_bytes)
        # A block within the bound is kept whole; of a longer one only the head is needed.
        if len(kept) <= max_record_bytes + LINE_END_BYTES:
            kept += held or line.content
        content_bytes = line_begin - begin + line.content_bytes
    kept_bytes = content_bytes if content_bytes <= max_record_bytes else _head_bytes(max_record_bytes)
    complete = ended or window.stream_break is None
    return Record(begin, window.position, bytes(kept[:kept_bytes]), content_bytes, complete)


def _blank_line_bytes(window: ByteWindow, max_record_bytes: int) -> int:
    """Measure the line ahead if it is blank, its end included; 0 if it is not."""
    line_bytes = _line_bytes(window, max_record_bytes)
    if line_bytes < 0:
        return 0
    line = window.peek(line_bytes)
    return line_bytes if is_blank(line.removeprefix(BYTE_ORDER_MARK) if window.position == 0 else line) else 0


def is_blank(line: bytes) -> bool:
    r"""Tell whether a line is white space alone, as `str.isspace` sees it.

    >>> is_blank(b" \t\r"), is_blank("\u3000".encode()), is_blank(b"\xff"), is_blank(b"")
    (True, True, False, True)
    """
    stripped = line.strip()
    if not stripped:
        return True
    if 0x20 < stripped[0] < 0x7F:
        return False
    try:
        return stripped.decode().isspace()
    except UnicodeDecodeError:
        return False


def file_records(window: ByteWindow, max_record_bytes: int) -> Iterator[Record]:
    """Give the whole source as one record; an empty source holds none."""
    if window.at_end():
        return
    begin = window.position
    held = window.read_all(max_record_bytes)
    content = window.peek(window.ahead_bytes() if held else _head_bytes(max_record_bytes))
    while not window.at_end():
        window.advance(window.ahead_bytes())
    yield Record(begin, window.position, content, window.position - begin, window.stream_break is None)


RECORD_READERS: Final[dict[str, RecordReader]] = {
    "line": line_records,
    "block": block_records,
    "file": file_records,
}


def decode_record(record: Record, max_record_bytes: int) -> str:
    """Decode a record, without the byte order mark that a source may begin with.

    Raises:
      RecordError: if it is longer than `max_record_bytes` or no UTF-8.
    """
    if record.content_bytes > max_record_bytes:
        raise RecordError(f"record too long: {record.content_bytes} bytes, `max_record_bytes` is {max_record_bytes}")
    content = record.content.removeprefix(BYTE_ORDER_MARK) if record.begin == 0 else record.content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RecordError(f"broken UTF-8: {error.reason} at byte {error.start} of the record") from error
