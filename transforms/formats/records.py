"""Formats whose records lie one after another in a file's bytes: read, cut and counted alike, whatever they say."""

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.reject import MAX_RAW_BYTES
from klue_beam.schemas.shard import Source, SourceRange
from klue_beam.transforms.formats.base import Cut, Document, Format, RangeReader, Record, RecordError, ScanProgress
from klue_beam.transforms.formats.bytes import BYTE_ORDER_MARK, ByteWindow, check_unchanged, is_compressed, read_blocks
from klue_beam.transforms.formats.columns import Columns

LINE_END_BYTES: Final = 2  # at most, b"\r\n"


class ByteReader(RangeReader):
    """Reads the records of a range of bytes; memory stays flat.

    Args:
      made_by: the format.
      part: the range.
      config: how it is read.
    """

    def __init__(self, made_by: "ByteFormat", part: SourceRange, config: ReadConfig) -> None:
        self.record_index = part.first_record
        self._format, self._part, self._config = made_by, part, config
        self._window = ByteWindow(read_blocks(part.address, part.begin, part.end), part.begin)
        self._records = made_by.records(self._window, config)
        self._tail: Record | None = None

    @property
    def position(self) -> int:
        """The first byte not passed yet, in the (decompressed) source."""
        return self._window.position

    @property
    def stream_break(self) -> str | None:
        """Where and why a compressed source ended too early."""
        if self._window.stream_break is None:
            return None
        return f"broken stream: {self._window.stream_break} (at byte {self.position} of what it decompresses to)"

    def read(self, columns: Columns, most_bytes: int | None) -> None:
        """Add the records up to the one that fills the columns."""
        while not self._window.at_end() and (record := next(self._records, None)) is not None:
            if record.complete:
                self._add(record, columns)
            else:
                self._tail = record
            if columns.is_full or (most_bytes is not None and self.position >= most_bytes):
                break

    def finish(self, columns: Columns) -> None:
        """Add the reject that tells of a break, with what stands between the last record and the break."""
        if self.stream_break is not None:
            lost = self._tail or Record(self.position, self.position, b"", 0, False)
            columns.reject(None, lost.begin, self.stream_break, lost.content, lost.content_bytes)

    def count(self, most_bytes: int | None) -> None:
        """Pass records by their ends alone."""
        self.record_index += self._format.count(self._window, self._config, most_bytes)

    def skip(self, end_record: int, end: int) -> None:
        """Pass the bytes before `end`."""
        self._window.advance_to(end)
        self.record_index = end_record

    def is_at_end(self) -> bool:
        """Tell whether nothing is left; looks one block ahead."""
        return self._window.at_end()

    def take_sha256(self) -> str:
        """Hash the bytes passed since the last call."""
        return self._window.take_sha256()

    def _add(self, record: Record, columns: Columns) -> None:
        index = self.record_index
        self.record_index += 1
        try:
            document = self._format.parse(record, self._config)
        except RecordError as error:
            columns.reject(index, record.begin, str(error), record.content, record.content_bytes)
            return
        doc_id = document.doc_id or self._format.make_id(self._part.source, index, self._config)
        columns.add(index, doc_id, document.text, document.metadata)


class ByteFormat(Format):
    """A format whose records lie one after another in a file's bytes.

    Attributes:
      is_cut: whether a large plain file is cut into ranges where records begin. One that is not, since a record needs
        what stands at the file's begin, is read as one stream, as a compressed file is.
    """

    is_cut: ClassVar[bool] = True

    @abc.abstractmethod
    def records(self, window: ByteWindow, config: ReadConfig) -> Iterator[Record]:
        """Give the records of a range, each with its bytes.

        Args:
          window: stands at the begin of the first record. It must be just behind a record when that is given.
          config: a record longer than `max_record_bytes` need not be held: its head and its size are enough.
        """

    @abc.abstractmethod
    def parse(self, record: Record, config: ReadConfig) -> Document:
        """Read one record.

        Raises:
          RecordError: if it gives no document; the message is the reject's reason.
        """

    def make_id(self, source: str, record_index: int, config: ReadConfig) -> str:  # noqa: ARG002  another format needs it
        """Name a document that has no id of its own."""
        return f"{source}#{record_index}"

    def is_by_line(self, config: ReadConfig) -> bool:  # noqa: ARG002  another format needs it
        """Tell whether each record is one line, so that they are counted and cut without being held."""
        return False

    def count(self, window: ByteWindow, config: ReadConfig, most_bytes: int | None) -> int:
        """Pass records up to the end, or to the one that reaches position `most_bytes`, and count them."""
        if self.is_by_line(config):
            return window.advance_lines(-1 if most_bytes is None else most_bytes - window.position)
        n_records = 0
        for record in self.records(window, config):
            n_records += record.complete
            if most_bytes is not None and window.position >= most_bytes:
                break
        return n_records

    def cut(self, source: Source, config: ReadConfig, progress: ScanProgress) -> Sequence[Cut]:
        """Cut a plain file about every `shard_bytes`, each cut moved to the next record's begin.

        A range within one long record is empty. Only a file larger than one range is looked through.
        """
        if is_compressed(source.path):
            return [Cut(0, -1, 0)]
        if source.size_bytes <= config.shard_bytes:
            return [Cut(0, source.size_bytes, 0)]
        if not self.is_cut:
            return [Cut(0, -1, 0)]
        blocks = _watch(read_blocks(source.address, 0, source.size_bytes), progress)
        if self.is_by_line(config):
            cuts = cut_at_lines(blocks, source.size_bytes, config.shard_bytes)
        else:
            records = enumerate(self.records(ByteWindow(blocks), config))
            begins = ((record.begin, index) for index, record in records)
            cuts = cut_at_records(begins, source.size_bytes, config.shard_bytes)
        check_unchanged(SourceRange(source.path, source.size_bytes, source.version, 0, 0, 0, source.location))
        return cuts

    def open(self, part: SourceRange, config: ReadConfig) -> ByteReader:
        """Begin to read a range."""
        return ByteReader(self, part, config)

    def amount(self, part: SourceRange) -> int | None:
        """Tell a range's bytes; those of a compressed file are not known before it is unpacked."""
        return None if part.is_stream else part.end - part.begin


class LineFormat(ByteFormat):
    """A format of one record a line."""

    def records(self, window: ByteWindow, config: ReadConfig) -> Iterator[Record]:
        """Give each line."""
        return line_records(window, config.max_record_bytes)

    def is_by_line(self, config: ReadConfig) -> bool:  # noqa: ARG002  another format needs it
        """Say that each record is a line."""
        return True


def _watch(blocks: Iterable[bytes], progress: ScanProgress) -> Iterator[bytes]:
    for block in blocks:
        yield block
        progress(len(block))


def cut_at_lines(blocks: Iterable[bytes], size_bytes: int, shard_bytes: int) -> list[Cut]:
    """Cut at the first line begin at or after every multiple of `shard_bytes`; lines are counted, not looked at."""
    starts, nominal, block_begin, n_lines, last = [(0, 0)], shard_bytes, 0, 0, b"\n"
    for block in blocks:
        counted = 0
        while nominal < size_bytes and (found := block.find(b"\n", max(0, nominal - 1 - block_begin))) >= 0:
            n_lines += block.count(b"\n", counted, found + 1)
            counted = found + 1
            starts.append((block_begin + counted, n_lines))
            nominal += shard_bytes
        n_lines += block.count(b"\n", counted)
        block_begin += len(block)
        last = block[-1:]
    n_lines += last != b"\n"
    return _fill_cuts(starts, (size_bytes, n_lines), shard_bytes)


def cut_at_records(records: Iterable[tuple[int, int]], size_bytes: int, shard_bytes: int) -> list[Cut]:
    """Cut at the first of `records` (begin, index) at or after every multiple of `shard_bytes`."""
    starts, nominal, index = [(0, 0)], shard_bytes, -1
    for begin, index in records:
        while nominal <= begin:
            starts.append((begin, index))
            nominal += shard_bytes
    return _fill_cuts(starts, (size_bytes, index + 1), shard_bytes)


def _fill_cuts(starts: list[tuple[int, int]], end: tuple[int, int], shard_bytes: int) -> list[Cut]:
    """Make ranges of where shards begin; cuts that found no record begin behind them fall on the end."""
    n_shards = -(-end[0] // shard_bytes)
    starts = starts + [end] * (n_shards - len(starts))
    return [Cut(begin, stop, first) for (begin, first), (stop, _) in zip(starts, [*starts[1:], end], strict=True)]


def line_records(window: ByteWindow, max_record_bytes: int) -> Iterator[Record]:
    r"""Give each line; only b"\n" ends one.

    >>> [record.content for record in line_records(ByteWindow(iter([b"a\r\n\nb", b"c"])), 100)]
    [b'a', b'', b'bc']
    """
    while not window.at_end():
        yield pass_line(window, max_record_bytes)


def pass_line(window: ByteWindow, max_record_bytes: int) -> Record:
    """Pass the line ahead; of one that is too long the head alone is kept."""
    line_bytes = line_bytes_ahead(window, max_record_bytes)
    if line_bytes < 0:
        return _pass_long_line(window, max_record_bytes)
    begin, line = window.position, window.peek(line_bytes)
    window.advance(line_bytes)
    content = _without_line_end(line)
    kept = content if len(content) <= max_record_bytes else content[: head_bytes(max_record_bytes)]
    complete = line.endswith(b"\n") or window.stream_break is None
    return Record(begin, window.position, kept, len(content), complete)


def line_bytes_ahead(window: ByteWindow, max_record_bytes: int) -> int:
    """Measure the line ahead, its end included; -1 if it is too long to be held."""
    limit_bytes = max_record_bytes + LINE_END_BYTES
    line_bytes = window.find_line_end(limit_bytes)
    if line_bytes < 0:  # the source ends here, or the line is longer than the limit
        line_bytes = window.ahead_bytes()
    return line_bytes if line_bytes <= limit_bytes else -1


def head_bytes(max_record_bytes: int) -> int:
    """Say how much is kept of a longer record: no more than surely was at hand, however the bytes arrived."""
    return min(MAX_RAW_BYTES, max_record_bytes)


def _pass_long_line(window: ByteWindow, max_record_bytes: int) -> Record:
    """Pass a line that is not held in memory."""
    begin, head, tail, line_bytes = window.position, window.peek(head_bytes(max_record_bytes)), b"", -1
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


def decode_record(record: Record, config: ReadConfig) -> str:
    """Decode a record, without the byte order mark that a source may begin with.

    Raises:
      RecordError: if it is longer than `max_record_bytes` or no UTF-8.
    """
    if record.content_bytes > config.max_record_bytes:
        raise RecordError(
            f"record too long: {record.content_bytes} bytes, `max_record_bytes` is {config.max_record_bytes}"
        )
    content = record.content.removeprefix(BYTE_ORDER_MARK) if record.begin == 0 else record.content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RecordError(f"broken UTF-8: {error.reason} at byte {error.start} of the record") from error
