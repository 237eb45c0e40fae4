"""A look at the first records before anything is annotated: a wrong field or encoding is told in seconds."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Shard, SourceRange
from klue_beam.transforms.formats.bytes import read_blocks
from klue_beam.transforms.formats.unpacking import StreamBreakError
from klue_beam.transforms.read.shards import ShardReadError, read_shard

MOST_REJECTS: Final = 100
"""So many rejects without a document are enough to stop."""

MOST_FIELDS_SHOWN: Final = 20

UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16, and of UTF-32, which begins with one of them or with zeros."""


def require_documents(shards: Sequence[Shard], config: ReadConfig) -> None:
    """Refuse inputs whose first records are all rejects, or that are UTF-16.

    Blank records are passed over. Shards that cannot be read are left to the run, which reports them.

    Args:
      shards: those still to do, in order.
      config: how they are read.

    Raises:
      ValueError: naming what was wrong with the records, the fields or the encoding seen, and the option to give.
    """
    for part in _first_ranges(shards):
        _refuse_utf16(part, config)
    reasons: Counter[str] = Counter()
    raws: list[bytes] = []
    first: SourceRange | None = None
    for part, number, found in _rejects(shards, config):
        if number:
            return
        first = first or part
        reasons.update(reason for reason, _ in found)
        raws += [raw for _, raw in found]
        if reasons.total() >= MOST_REJECTS:
            break
    if first is not None and reasons:
        raise ValueError(_describe(first, config, reasons, raws))


def _first_ranges(shards: Sequence[Shard]) -> Iterator[SourceRange]:
    """Give the first range of each source."""
    for shard in shards:
        yield from (part for part in shard.ranges if part.begin == 0)


def _refuse_utf16(part: SourceRange, config: ReadConfig) -> None:
    if FORMATS[config.input_format].unit != "bytes":
        return
    try:
        head = next(read_blocks(part.address, 0, min(4, part.size_bytes), 4), b"")
    except (OSError, StreamBreakError, RuntimeError):
        return  # the run meets and reports it
    if head[:2] in UTF16_MARKS:
        raise ValueError(
            f"An input must be UTF-8, got {part.source!r}, which begins with the byte order mark of UTF-16. Convert it "
            "first: iconv -f UTF-16 -t UTF-8."
        )


def _rejects(shards: Sequence[Shard], config: ReadConfig) -> Iterator[tuple[SourceRange, int, list[tuple[str, bytes]]]]:
    """Give, chunk by chunk, the range, how many documents there are, and the rejects with their first bytes."""
    for shard in shards:
        try:
            for chunk in read_shard(shard, config):
                reasons, raws = (chunk.rejects.column(name).to_pylist() for name in ("reason", "raw"))
                found = [(reason, raw or b"") for reason, raw in zip(reasons, raws, strict=True)]
                part = shard.ranges[chunk.tallies[0].range_index]
                yield part, chunk.rows.num_rows, found[:MOST_REJECTS]
        except ShardReadError:
            continue


def _describe(part: SourceRange, config: ReadConfig, reasons: Counter[str], raws: Sequence[bytes]) -> str:
    (reason, times), total = reasons.most_common(1)[0], reasons.total()
    said = (
        f"The first records must give documents, got {total} rejects and no document from {part.source!r} on; "
        f"{times} of them: {reason}."
    )
    fields = _longest_first(FORMATS[config.input_format].sample_fields(part, raws))
    if fields and config.text_field not in fields:
        shown = ", ".join(fields[:MOST_FIELDS_SHOWN]) + (", …" if len(fields) > MOST_FIELDS_SHOWN else "")
        return f"{said} The fields there are, the longest first: {shown}. Name the text's: --text_field {fields[0]}."
    if reason.startswith("broken UTF-8") and _is_cp949(raws):
        return f"{said} The bytes can be read as CP949. Convert the file first: iconv -f CP949 -t UTF-8."
    return f"{said} Check --input_format, or allow as many rejects with --max_rejects."


def _longest_first(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Order the names of fields by how much text they hold; those without text come last."""
    chars: Counter[str] = Counter()
    for record in records:
        chars.update({name: len(value) if isinstance(value, str) else 0 for name, value in record.items()})
    return [name for name, _ in chars.most_common()]


def _is_cp949(raws: Sequence[bytes]) -> bool:
    try:
        return any("가" <= char <= "힣" for raw in raws for char in raw.decode("cp949"))
    except UnicodeDecodeError:
        return False
