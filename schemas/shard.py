"""The units of work and of commit: Source, Shard, Plan, Chunk, Receipt."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa

PLAN_FILE: Final = "_plan.parquet"
ATTEMPTS_DIR: Final = "_attempts"
DATA_DIR: Final = "data"
REJECTS_DIR: Final = "_rejects"
DROPPED_DIR: Final = "_dropped"
RECEIPTS_DIR: Final = "_receipts"
SUCCESS_FILE: Final = "_SUCCESS"


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An input as it stood when the plan was made.

    Attributes:
      path: the path as given (after globs and folders were opened up); it is the `source` column of every row.
      size_bytes: size on disk.
      version: what tells that it changed: modification time in ns, or an etag.
      location: where it lies, an absolute path or an address, whatever the working directory is; empty for `path`.
    """

    path: str
    size_bytes: int
    version: str
    location: str = dataclasses.field(default="", compare=False)

    @property
    def address(self) -> str:
        """What it is opened by."""
        return self.location or self.path


@dataclasses.dataclass(frozen=True, slots=True)
class SourceRange:
    """A range of one source. It carries how its source stood, so that a worker needs no more than its shard.

    Attributes:
      source, size_bytes, version: as in Source.
      begin: where the range begins, in the unit in which the format is cut: bytes of a plain file (always the first
        byte of a record, or the end of the file), row groups of a Parquet file, 0 for a compressed file.
      end: where it ends (exclusive), same unit; -1 for a stream that cannot be cut (a compressed file): to its end.
      first_record: `record_index` of its first record.
      location: as in Source.
    """

    source: str
    size_bytes: int
    version: str
    begin: int
    end: int
    first_record: int
    location: str = dataclasses.field(default="", compare=False)

    @property
    def address(self) -> str:
        """What its source is opened by."""
        return self.location or self.source

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of unknown length."""
        return self.end < 0

    def describe(self) -> str:
        """Name the range for people."""
        return f"{self.source}, {self.begin} to {'its end' if self.is_stream else self.end}"


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """What one worker annotates at a time. The shards of a plan partition its sources.

    Attributes:
      shard_id: position in the plan, from 0.
      ranges: at least one, of different sources; several where small files share a shard.
    """

    shard_id: int
    ranges: tuple[SourceRange, ...]

    @property
    def is_stream(self) -> bool:
        """Whether it is one stream of unknown length, committed in several segments; all others are one segment."""
        return len(self.ranges) == 1 and self.ranges[0].is_stream

    def describe(self) -> str:
        """Name the shard for people.

        >>> Shard(3, (SourceRange("dump/a.jsonl", 9000000, "1", 0, 4194304, 0),)).describe()
        'Shard 3 (dump/a.jsonl, 0 to 4194304)'
        """
        if len(self.ranges) == 1:
            return f"Shard {self.shard_id} ({self.ranges[0].describe()})"
        first, last = self.ranges[0].source, self.ranges[-1].source
        return f"Shard {self.shard_id} ({len(self.ranges):,} files, {first} to {last})"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a dataset is made of: shards, and the configuration that all rows share.

    Attributes:
      shards: by their numbers.
      config: what `AnnotateConfig.to_dict` gave when the dataset was begun, kept as it was written.
      config_hash: of `config`, as `hash_config` gives it.
    """

    shards: tuple[Shard, ...]
    config: Mapping[str, Any]
    config_hash: str

    @functools.cached_property
    def sources(self) -> tuple[Source, ...]:
        """The sources as they stood when they were planned, in the order of their shards."""
        parts = (part for shard in self.shards for part in shard.ranges)
        found = {part.source: Source(part.source, part.size_bytes, part.version, part.location) for part in parts}
        return tuple(found.values())


class ChunkKey(NamedTuple):
    """Which chunk of its shard this is. Chunks of a segment are numbered from 0 and arrive in order."""

    segment: int
    batch: int
    last_of_segment: bool
    last_of_shard: bool


class Tally(NamedTuple):
    """What a chunk covers of one range of its shard, so that the sink can prove that nothing was lost on the way.

    Attributes:
      range_index: which of the shard's ranges.
      first_record, end_record: half-open range of `record_index` covered: documents + blanks + rejected records.
      begin, end: half-open range covered, in the unit in which the format counts: (decompressed) bytes, or rows.
      documents: records that gave a document with text.
      blanks: records without any text but white space; they give no rows.
      input_sha256: hex digest of what the segment covers of the range, given with the last chunk that touches the
        range in this segment, else "".
    """

    range_index: int
    first_record: int
    end_record: int
    begin: int
    end: int
    documents: int
    blanks: int
    input_sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """The element between transforms: some thousand rows, and what was rejected or dropped so far on the way.

    A transform gives a new chunk (`dataclasses.replace`) and never changes the one that it was given. Rejects travel
    in the chunk because a side output could only come back through a Flatten, which would break the fused chain.

    Attributes:
      shard: what the chunk is of.
      key: which chunk of it.
      rows: of DOCUMENT, then SENTENCE, then annotated_schema(…) as it passes the stages.
      rejects: of REJECT.
      dropped: of DROPPED.
      tallies: of the ranges covered, in their order; at least one.
    """

    shard: Shard
    key: ChunkKey
    rows: pa.RecordBatch
    rejects: pa.RecordBatch
    dropped: pa.RecordBatch
    tallies: tuple[Tally, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published Parquet file, path relative to the dataset's folder."""

    path: str
    rows: int
    size_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """What a segment covers of one source.

    Attributes:
      source: its path.
      first_record, end_record: half-open range of `record_index`.
      begin, end: half-open range in the unit in which the format counts: (decompressed) bytes, or rows.
      input_sha256: hex digest of what lies there.
    """

    source: str
    first_record: int
    end_record: int
    begin: int
    end: int
    input_sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a segment is committed; written last.

    Attributes:
      shard_id, segment: which one it is.
      last_of_shard: whether the shard ends with it.
      config_hash: the plan's.
      covered: what it covers, of each range of its shard.
      counts: records, documents, blanks, rejected_records, rejects, sentences, entities, relations, arcs, characters
        (of text annotated), one `flag:NAME` per flag that occurs, and where something was dropped `dropped`,
        `dropped_documents` (those of which no sentence is left) and one `dropped:STEP: REASON` per reason.
      data, rejects, dropped: the files, None where there are no such rows.
    """

    shard_id: int
    segment: int
    last_of_shard: bool
    config_hash: str
    covered: tuple[Coverage, ...]
    counts: Mapping[str, int]
    data: PublishedFile | None
    rejects: PublishedFile | None
    dropped: PublishedFile | None

    @property
    def amount(self) -> int:
        """How much is covered, in the unit in which the format counts."""
        return sum(part.end - part.begin for part in self.covered)

    @property
    def records(self) -> int:
        """How many records are covered."""
        return sum(part.end_record - part.first_record for part in self.covered)

    def to_json(self) -> str:
        """Give the receipt as JSON, the same text for the same receipt."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """Read a receipt back, one of version 0.1.0 too.

        Raises:
          ValueError: if the text is no receipt (cut short, or by another program).
        """
        try:
            fields = json.loads(text)
            if "covered" not in fields:
                fields = _from_v0_1_0(fields)
            fields["covered"] = tuple(Coverage(**part) for part in fields["covered"])
            for name in ("data", "rejects", "dropped"):
                fields[name] = PublishedFile(**fields[name]) if fields[name] is not None else None
            return cls(**fields)
        except (TypeError, KeyError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"A receipt must hold the fields of Receipt as JSON, got {text[:80]!r}.") from error


def _from_v0_1_0(fields: dict[str, Any]) -> dict[str, Any]:
    """Give the fields of a receipt that covers one range, which stood among the others, as they stand today."""
    place = {name: fields.pop(name) for name in ("source", "first_record", "end_record", "input_sha256")}
    place |= {"begin": fields.pop("begin_byte"), "end": fields.pop("end_byte")}
    return {**fields, "covered": [place], "dropped": None}


def segment_name(shard_id: int, segment: int) -> str:
    """Name a segment; its data, rejects and receipt files carry this name.

    >>> segment_name(12, 0)
    'part-000012-000000'
    """
    return f"part-{shard_id:06d}-{segment:06d}"
