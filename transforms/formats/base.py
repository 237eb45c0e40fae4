"""What a format is: how its files are cut, and how a range of one is read as documents.

A format whose records lie one after another in a file's bytes writes `records` and `parse` of ByteFormat and has all
else from it: compression, cutting, segments, hashes, counting. One whose records are lines writes `parse` of LineFormat
alone. The object is registered in klue_beam.schemas.registry.FORMATS, or by a package of one's own as an entry point
`klue_beam.formats`.
"""

import abc
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import Source, SourceRange
from klue_beam.transforms.formats.bytes import is_compressed
from klue_beam.transforms.formats.columns import Columns

ScanProgress = Callable[[int], object]
"""Hears how many more bytes were looked through for the begins of records."""


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
    """What a record says. `doc_id` is None where the record names none, `metadata` is JSON."""

    doc_id: str | None
    text: str
    metadata: str | None


class Cut(NamedTuple):
    """Where a range of a source begins and ends, and the number of the first record in it; as in SourceRange."""

    begin: int
    end: int
    first_record: int


class RangeReader(abc.ABC):
    """A range of a source, read on from where it stands.

    Attributes:
      record_index: the next record's number.
    """

    record_index: int

    @property
    @abc.abstractmethod
    def position(self) -> int:
        """Where the next record begins, in the unit in which the format counts."""

    @property
    def stream_break(self) -> str | None:
        """Where and why a compressed source ended too early, None if it did not; known at its end."""
        return None

    @abc.abstractmethod
    def read(self, columns: Columns, most_bytes: int | None) -> None:
        """Read whole records on, at least one, until the columns are full or the range ends.

        Args:
          columns: what is added to; `is_full` tells when to stop.
          most_bytes: stop with the record that reaches this position as well; None for no such stop.
        """

    def finish(self, columns: Columns) -> None:  # noqa: B027  most formats have nothing to tell
        """Add what is to be told at the range's end: nothing, or a break as a reject that is no record."""

    @abc.abstractmethod
    def count(self, most_bytes: int | None) -> None:
        """Pass records as `read` does, without looking at what they say, to the range's end or `most_bytes`."""

    @abc.abstractmethod
    def skip(self, end_record: int, end: int) -> None:
        """Pass what lies before a record whose number and place are known, or everything if that comes first."""

    @abc.abstractmethod
    def is_at_end(self) -> bool:
        """Tell whether nothing is left."""

    @abc.abstractmethod
    def take_sha256(self) -> str:
        """Hash what was passed since the last call (hex digest), and begin anew."""


class Format(abc.ABC):
    """A format of input files.

    Attributes:
      suffixes: how the names of such files end, in lower case, before the suffix of a compression. Of a folder only
        these are read; a file that is named itself, or by a glob, may be called anything.
      unit: what places in a source count: "bytes" (decompressed) or "rows".
      unpacks: whether compressed files (.gz .bz2 .xz .zst) are read.
    """

    suffixes: ClassVar[tuple[str, ...]]
    unit: ClassVar[str] = "bytes"
    unpacks: ClassVar[bool] = True

    @abc.abstractmethod
    def cut(self, source: Source, config: ReadConfig, progress: ScanProgress) -> Sequence[Cut]:
        """Cut a source into ranges of about `shard_bytes`, each of which begins with a record; at least one.

        Raises:
          ValueError: if it is not of the format.
          SourceChangedError: if it changed meanwhile.
          OSError: if it cannot be read.
        """

    @abc.abstractmethod
    def open(self, part: SourceRange, config: ReadConfig) -> RangeReader:
        """Begin to read a range.

        Raises:
          ValueError: if the source is not of the format.
          OSError: if it cannot be read.
        """

    @abc.abstractmethod
    def amount(self, part: SourceRange) -> int | None:
        """Tell how much a range holds, in the format's unit, without reading it through; None if that cannot be told.

        Raises:
          ValueError, OSError: as `open`.
        """

    def sample_fields(self, part: SourceRange, rejected: Sequence[bytes]) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002  most formats have no fields
        """Give the fields of some records by name, for telling a user which there are; none where records have none.

        Args:
          part: a range whose first records were all rejected.
          rejected: the first bytes of some of them.
        """
        return ()

    def is_input(self, name: str) -> bool:
        """Tell by its name whether a file of a folder is read.

        >>> from klue_beam.schemas.registry import FORMATS
        >>> FORMATS["text"].is_input("notes.TXT.xz"), FORMATS["text"].is_input("notes.md")
        (True, False)
        """
        bare = os.path.splitext(name)[0] if self.unpacks and is_compressed(name) else name
        return bare.lower().endswith(self.suffixes)
