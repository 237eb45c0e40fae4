"""Documents in plain text: a line, a block between blank lines, or a whole file each."""

from collections.abc import Iterator, Sequence
from typing import Final

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import Source
from klue_beam.transforms.formats.base import Cut, Document, Record, ScanProgress
from klue_beam.transforms.formats.bytes import BYTE_ORDER_MARK, ByteWindow, is_compressed
from klue_beam.transforms.formats.records import (
    LINE_END_BYTES,
    ByteFormat,
    decode_record,
    head_bytes,
    line_bytes_ahead,
    line_records,
    pass_line,
)


class TextFormat(ByteFormat):
    """Plain text; what a document is, `text_unit` says."""

    suffixes = (".txt", ".text")

    def records(self, window: ByteWindow, config: ReadConfig) -> Iterator[Record]:
        """Give lines, blocks, or the whole file."""
        read = {"line": line_records, "block": block_records, "file": file_records}[config.text_unit]
        return read(window, config.max_record_bytes)

    def parse(self, record: Record, config: ReadConfig) -> Document:
        """Take the record's text as it stands."""
        return Document(None, decode_record(record, config), None)

    def make_id(self, source: str, record_index: int, config: ReadConfig) -> str:
        """Name a document by its source and number, a whole file by its source."""
        return source if config.text_unit == "file" else super().make_id(source, record_index, config)

    def is_by_line(self, config: ReadConfig) -> bool:
        """Tell whether a document is a line."""
        return config.text_unit == "line"

    def cut(self, source: Source, config: ReadConfig, progress: ScanProgress) -> Sequence[Cut]:
        """Cut at lines or blocks; a file that is one document is one range."""
        if config.text_unit == "file" and not is_compressed(source.path):
            return [Cut(0, source.size_bytes, 0)]
        return super().cut(source, config, progress)


FORMAT: Final = TextFormat()


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
        line_bytes = line_bytes_ahead(window, max_record_bytes)
        held = window.peek(line_bytes) if line_bytes >= 0 else b""
        line = pass_line(window, max_record_bytes)
        # A block within the bound is kept whole; of a longer one only the head is needed.
        if len(kept) <= max_record_bytes + LINE_END_BYTES:
            kept += held or line.content
        content_bytes = line_begin - begin + line.content_bytes
    kept_bytes = content_bytes if content_bytes <= max_record_bytes else head_bytes(max_record_bytes)
    complete = ended or window.stream_break is None
    return Record(begin, window.position, bytes(kept[:kept_bytes]), content_bytes, complete)


def _blank_line_bytes(window: ByteWindow, max_record_bytes: int) -> int:
    """Measure the line ahead if it is blank, its end included; 0 if it is not."""
    line_bytes = line_bytes_ahead(window, max_record_bytes)
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
    content = window.peek(window.ahead_bytes() if held else head_bytes(max_record_bytes))
    while not window.at_end():
        window.advance(window.ahead_bytes())
    yield Record(begin, window.position, content, window.position - begin, window.stream_break is None)
