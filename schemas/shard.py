"""The units of work and of commit: Source, Shard, Plan, Chunk, Receipt."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa

PLAN_FILE: Final = "_plan.parquet"
ATTEMPTS_DIR: Final = "_attempts"
DATA_DIR: Final = "data"
REJECTS_DIR: Final = "_rejects"
RECEIPTS_DIR: Final = "_receipts"
SUCCESS_FILE: Final = "_SUCCESS"


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An input as it stood when the plan was made.

    Attributes:
      path: the path as given (after globs and folders were opened up); it is the `source` column of every row.
      size_bytes: size on disk.
      version: what tells that it changed: modification time in ns, or an etag.
    """

    path: str
    size_bytes: int
    version: str


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """A range of one source that one worker annotates; shards of a source partition it.

    Attributes:
      shard_id: position in the plan, from 0.
      source: the source's path.
      begin: where the range begins, in the format's own unit: bytes of a plain text file (always the first byte
        of a record, or the end of the file), row groups of a Parquet file, 0 for a compressed file.
      end: where it ends (exclusive), same unit; -1 for a stream that cannot be cut (a compressed file): to its end.
      first_record: `record_index` of its first record.
    """

    shard_id: int
    source: str
    begin: int
    end: int
    first_record: int

    @property
    def is_stream(self) -> bool:
        """Whether the shard is a stream of unknown length, committed in several segments."""
        return self.end < 0


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a dataset is made of: sources, their shards, and the configuration that all rows share."""

    sources: tuple[Source, ...]
    shards: tuple[Shard, ...]
    config: Mapping[str, Any]
    config_hash: str


class ChunkKey(NamedTuple):
    """Which chunk this is. Chunks of a segment are numbered from 0 and arrive in order."""

    shard_id: int
    segment: int
    batch: int
    last_of_segment: bool
    last_of_shard: bool


class Tally(NamedTuple):
    """What a chunk covers of its shard, so that the sink can prove that nothing was lost on the way.

    Attributes:
      first_record, end_record: half-open range of `record_index` covered: documents + blanks + rejected records.
      begin_byte, end_byte: half-open range of (decompressed) bytes, or of rows for Parquet, covered.
      documents: records that gave a document with text.
      blanks: records without any text but white space; they give no rows.
      input_sha256: hex digest of the segment's bytes, given with the last chunk of the segment, else "".
    """

    first_record: int
    end_record: int
    begin_byte: int
    end_byte: int
    documents: int
    blanks: int
    input_sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """The element between transforms: some thousand rows, and the rejects found so far on the way.

    `rows` follows DOCUMENT, then SENTENCE, then annotated_schema(…) as it passes the stages; `rejects` follows REJECT.
    A transform gives a new chunk (`dataclasses.replace`) and never changes the one that it was given. Rejects travel
    in the chunk because a side output could only come back through a Flatten, which would break the fused chain.
    """

    key: ChunkKey
    rows: pa.RecordBatch
    rejects: pa.RecordBatch
    tally: Tally


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published Parquet file, path relative to the dataset's folder."""

    path: str
    rows: int
    size_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a segment is committed; written last.

    `counts` has: records, documents, blanks, rejected_records, rejects, sentences, entities, relations, arcs,
    characters (of text annotated), and one `flag:NAME` per flag that occurs.
    """

    shard_id: int
    segment: int
    last_of_shard: bool
    source: str
    config_hash: str
    first_record: int
    end_record: int
    begin_byte: int
    end_byte: int
    input_sha256: str
    counts: Mapping[str, int]
    data: PublishedFile | None
    rejects: PublishedFile | None

    def to_json(self) -> str:
        """Give the receipt as JSON, the same text for the same receipt."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """Read a receipt back.

        Raises:
          ValueError: if the text is no receipt (cut short, or by another program).
        """
        try:
            fields = json.loads(text)
            for name in ("data", "rejects"):
                fields[name] = PublishedFile(**fields[name]) if fields[name] is not None else None
            return cls(**fields)
        except (TypeError, KeyError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"A receipt must hold the fields of Receipt as JSON, got {text[:80]!r}.") from error


def segment_name(shard_id: int, segment: int) -> str:
    """Name a segment; its data, rejects and receipt files carry this name.

    >>> segment_name(12, 0)
    'part-000012-000000'
    """
    return f"part-{shard_id:06d}-{segment:06d}"
