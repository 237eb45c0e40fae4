"""Reading shards: each record is a document, a blank or a reject, wherever shards, segments and chunks are cut."""

import bz2
import gzip
import hashlib
import itertools
import json
import lzma
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.reject import MAX_RAW_BYTES, REJECT
from klue_beam.schemas.shard import Chunk, Coverage, Receipt, Shard, Source, SourceRange, Tally
from klue_beam.transforms.base.stores.finding import stat_source
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.shards import ShardReadError, count_records, read_shard

COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd.compress}

# Bytes that a reader trips over: line ends, marks, control characters, cut and whole UTF-8, white space of all kinds.
PIECES = [b"\n", b"\r\n", b"\r", b"", b" ", b"\t", b"\x00", b"\x1c", b"\x85", b"\xff", b"\xec\x95", b"\xef\xbb\xbf"]
PIECES += [text.encode() for text in ("\n\n", "\u3000", "\u2028", "안녕하세요.", "눈", "a", "😀", "\n \n", "비가 온다")]
DATA = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40).map(b"".join)
SIZES = st.integers(1, 60)


class Outcome(NamedTuple):
    documents: list[tuple[Any, ...]]
    rejects: list[tuple[Any, ...]]
    blanks: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("read")


def write(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def make_shard(path: str, begin: int = 0, end: int = -1, first_record: int = 0, shard_id: int = 0) -> Shard:
    """A shard of one range; if nothing else is said, of a stream."""
    source = stat_source(path) if os.path.exists(path) else Source(path, 0, "gone")
    return Shard(shard_id, (SourceRange(path, source.size_bytes, source.version, begin, end, first_record),))


def tally_of(chunk: Chunk) -> Tally:
    (tally,) = chunk.tallies
    return tally


def plan_shards(path: str, config: ReadConfig) -> tuple[Shard, ...]:
    return make_plan([path], AnnotateConfig(read=config)).shards


def outcome(chunks: Sequence[Chunk]) -> Outcome:
    documents = [tuple(row[name] for name in DOCUMENT.names) for chunk in chunks for row in chunk.rows.to_pylist()]
    rejects = [tuple(row[name] for name in REJECT.names) for chunk in chunks for row in chunk.rejects.to_pylist()]
    return Outcome(documents, rejects, sum(tally.blanks for chunk in chunks for tally in chunk.tallies))


def read_data(folder: Path, data: bytes, name: str = "input.txt", **fields: Any) -> Outcome:
    """Write a source and read it whole."""
    config = ReadConfig(**fields)
    shards = plan_shards(write(folder, name, data), config)
    return outcome([chunk for shard in shards for chunk in read_checked(shard, config)])


def reasons(found: Outcome) -> list[str]:
    return [reject[4] for reject in found.rejects]


def texts(found: Outcome) -> list[str]:
    return [document[3] for document in found.documents]


def read_checked(shard: Shard, config: ReadConfig, receipts: Sequence[Receipt] = ()) -> list[Chunk]:
    """Read a shard, and check what holds of every shard: keys in order, tallies without a gap, every record in one."""
    chunks = list(read_shard(shard, config, receipts))
    for before, after in itertools.pairwise(chunks):
        assert tally_of(before).end_record <= tally_of(after).first_record
        if not before.key.last_of_segment:
            assert after.key[:2] == (before.key.segment, before.key.batch + 1)
            assert (tally_of(before).end_record, tally_of(before).end) == (
                tally_of(after).first_record,
                tally_of(after).begin,
            )
        else:
            assert after.key.batch == 0
            assert after.key.segment > before.key.segment
    for chunk in chunks:
        assert chunk.rows.schema == DOCUMENT
        assert chunk.rejects.schema == REJECT
        tally = tally_of(chunk)
        refused = sum(index is not None for index in chunk.rejects["record_index"].to_pylist())
        assert tally.end_record - tally.first_record == tally.documents + tally.blanks + refused
        assert tally.documents == chunk.rows.num_rows
        assert bool(tally.input_sha256) == chunk.key.last_of_segment
    assert [chunk.key.last_of_shard for chunk in chunks] == [False] * (len(chunks) - 1) + [True] * bool(chunks)
    return chunks


def by_segment(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    segment: list[Chunk] = []
    for chunk in chunks:
        segment.append(chunk)
        if chunk.key.last_of_segment:
            yield segment
            segment = []


def receipt_of(segment: list[Chunk], shard: Shard) -> Receipt:
    first, last = tally_of(segment[0]), tally_of(segment[-1])
    places = (first.first_record, last.end_record, first.begin, last.end, last.input_sha256)
    key = segment[-1].key
    covered = (Coverage(shard.ranges[0].source, *places),)
    return Receipt(shard.shard_id, key.segment, key.last_of_shard, "0", covered, {}, None, None, None)


def expected_lines(data: bytes, path: str, max_record_bytes: int) -> Outcome:
    """What line input must give, said again in the plainest way."""
    lines = data.split(b"\n")
    documents, rejects, blanks, begin = [], [], 0, 0
    for index, line in enumerate(lines):
        ended = index < len(lines) - 1
        if not ended and not line:
            break
        content = line[:-1] if ended and line.endswith(b"\r") else line
        bare = content.removeprefix(b"\xef\xbb\xbf") if index == 0 else content
        try:
            text = bare.decode()
        except UnicodeDecodeError:
            text = None
        if len(content) > max_record_bytes or text is None:
            kept = content[:max_record_bytes] if len(content) > max_record_bytes else content
            rejects.append((index, begin, kept, len(content)))
        elif not text or text.isspace():
            blanks += 1
        else:
            documents.append((f"{path}#{index}", path, index, text, None))
        begin += len(line) + 1
    return Outcome(documents, rejects, blanks)


@settings(max_examples=80, deadline=None)
@given(data=DATA, shard_bytes=SIZES, batch_bytes=SIZES, max_record_bytes=st.integers(1, 40))
def test_lines_are_what_a_split_at_line_feeds_gives(
    folder: Path, data: bytes, shard_bytes: int, batch_bytes: int, max_record_bytes: int
) -> None:
    """However a file is cut into shards and chunks, its lines, their numbers and their places are the same."""
    path = write(folder, "lines.txt", data)
    config = ReadConfig(shard_bytes=shard_bytes, batch_bytes=batch_bytes, max_record_bytes=max_record_bytes)
    shards = plan_shards(path, config)
    found = outcome([chunk for shard in shards for chunk in read_checked(shard, config)])
    expected = expected_lines(data, path, max_record_bytes)
    assert found.documents == expected.documents
    assert [(index, begin, raw, size) for _, index, begin, _, _, raw, size in found.rejects] == expected.rejects
    assert found.blanks == expected.blanks


@settings(max_examples=80, deadline=None)
@given(data=DATA, unit=st.sampled_from(["line", "block", "file"]), sizes=st.tuples(SIZES, SIZES), maximum=SIZES)
def test_cuts_change_nothing(folder: Path, data: bytes, unit: str, sizes: tuple[int, int], maximum: int) -> None:
    """Plain or compressed, cut into any shards, segments and chunks: the same documents, rejects and blanks."""
    whole = ReadConfig(text_unit=unit, max_record_bytes=maximum)
    cut = ReadConfig(text_unit=unit, max_record_bytes=maximum, shard_bytes=sizes[0], batch_bytes=sizes[1])
    path = write(folder, "cut.txt", data)
    expected = outcome([c for shard in plan_shards(path, whole) for c in read_checked(shard, whole)])
    shards = plan_shards(path, cut)
    assert outcome([c for shard in shards for c in read_checked(shard, cut)]) == expected
    covered = [(tally_of(c).begin, tally_of(c).end) for shard in shards for c in read_checked(shard, cut)]
    assert b"".join(data[begin:end] for begin, end in covered) == data

    packed = write(folder, "cut.txt.gz", gzip.compress(data, 1))
    stream = outcome(read_checked(make_shard(packed), cut))
    assert json.dumps(stream, default=repr).replace(packed, path) == json.dumps(expected, default=repr)


@settings(max_examples=50, deadline=None)
@given(
    data=DATA,
    unit=st.sampled_from(["line", "block"]),
    shard_bytes=SIZES,
    cut=st.none() | st.integers(0, 100),
    done=st.sets(st.integers(0, 6)),
)
def test_a_resumed_stream_equals_an_undisturbed_one(
    folder: Path, data: bytes, unit: str, shard_bytes: int, cut: int | None, done: set[int]
) -> None:
    """Whichever segments have receipts, the others are read as if none had; also where the stream breaks."""
    config = ReadConfig(text_unit=unit, shard_bytes=shard_bytes, batch_bytes=16)
    path = write(folder, "resumed.txt.gz", gzip.compress(data, 1)[:cut])
    shard = make_shard(path, shard_id=3)
    segments = list(by_segment(read_checked(shard, config)))
    receipts = [receipt_of(segment, shard) for segment in segments if segment[0].key.segment in done]
    chunks = list(read_shard(shard, config, receipts))
    expected = [chunk for segment in segments if segment[0].key.segment not in done for chunk in segment]
    assert [(chunk.key, tally_of(chunk)) for chunk in chunks] == [(chunk.key, tally_of(chunk)) for chunk in expected]
    assert outcome(chunks) == outcome(expected)


@settings(max_examples=50, deadline=None)
@given(
    data=DATA, unit=st.sampled_from(["line", "block", "file"]), shard_bytes=SIZES, cut=st.none() | st.integers(0, 99)
)
def test_a_recount_agrees_with_what_was_read(
    folder: Path, data: bytes, unit: str, shard_bytes: int, cut: int | None
) -> None:
    """Counting records again, without parsing them, gives each segment's receipt."""
    config = ReadConfig(text_unit=unit, shard_bytes=shard_bytes, max_record_bytes=30)
    plain = write(folder, "count.txt", data)
    packed = write(folder, "count.txt.xz", lzma.compress(data)[:cut])
    for shard in (*plan_shards(plain, config), make_shard(packed)):
        segments = by_segment(read_checked(shard, config))
        receipts = [receipt_of(segment, shard) for segment in segments]
        counts = list(count_records(shard, config))
        assert [count[:3] for count in counts] == [(r.segment, r.last_of_shard, r.covered) for r in receipts]


@settings(max_examples=50, deadline=None)
@given(
    files=st.lists(DATA, min_size=1, max_size=8), batch_bytes=SIZES, kinds=st.lists(st.sampled_from(["", ".gz", ".xz"]))
)
def test_files_that_share_a_shard_are_read_as_each_alone(
    tmp_path_factory: pytest.TempPathFactory, files: list[bytes], batch_bytes: int, kinds: list[str]
) -> None:
    """Chunks span files; each file's records are told by a tally of its own, and a recount agrees."""
    here = tmp_path_factory.mktemp("shared")
    config = ReadConfig(batch_bytes=batch_bytes, max_record_bytes=30, shard_bytes=100_000)
    for number, data in enumerate(files):
        suffix = (kinds[number : number + 1] or [""])[0]
        write(here, f"{number}.txt{suffix}", COMPRESS.get(suffix, bytes)(data))
    (shard,) = plan_shards(str(here), config)
    assert len(shard.ranges) == len(files)
    chunks = list(read_shard(shard, config))
    alone = [outcome(list(read_shard(Shard(0, (part,)), config))) for part in shard.ranges]
    assert outcome(chunks) == Outcome(
        [document for found in alone for document in found.documents],
        [reject for found in alone for reject in found.rejects],
        sum(found.blanks for found in alone),
    )
    assert [chunk.key for chunk in chunks] == [
        (0, number, number == len(chunks) - 1, number == len(chunks) - 1) for number in range(len(chunks))
    ]
    covered: dict[int, list[Tally]] = {}
    for tally in (tally for chunk in chunks for tally in chunk.tallies):
        covered.setdefault(tally.range_index, []).append(tally)
    (count,) = count_records(shard, config)
    assert list(covered) == list(range(len(files)))
    for data, coverage, tallies in zip(files, count.covered, covered.values(), strict=True):
        assert [bool(tally.input_sha256) for tally in tallies] == [False] * (len(tallies) - 1) + [True]
        assert (coverage.end_record, coverage.end) == (tallies[-1].end_record, len(data))
        assert coverage.input_sha256 == tallies[-1].input_sha256 == hashlib.sha256(data).hexdigest()


def test_a_segment_hash_is_of_its_bytes(folder: Path) -> None:
    data = "\ufeff눈이 왔다.\r\n\n비가 온다.\n끝".encode()
    shard = make_shard(write(folder, "hash.txt.zst", zstd.compress(data)))
    segments = list(by_segment(read_checked(shard, ReadConfig(shard_bytes=10))))
    tallies = [tally_of(segment[-1]) for segment in segments]
    assert len(tallies) > 2
    begins = [tally_of(segment[0]).begin for segment in segments]
    parts = [data[begin : tally.end] for begin, tally in zip(begins, tallies, strict=True)]
    assert [hashlib.sha256(part).hexdigest() for part in parts] == [tally.input_sha256 for tally in tallies]
    assert b"".join(parts) == data


def test_a_finished_shard_is_not_opened(folder: Path) -> None:
    """With the receipt of the last segment there, the source need not even exist any more."""
    path = write(folder, "gone.txt.gz", gzip.compress(b"a\nb\nc\n"))
    shard, config = make_shard(path), ReadConfig(shard_bytes=2)
    receipts = [receipt_of(segment, shard) for segment in by_segment(read_checked(shard, config))]
    os.remove(path)
    assert list(read_shard(shard, config, receipts)) == []


def test_an_empty_file_gives_one_empty_chunk(folder: Path) -> None:
    config = ReadConfig()
    for name in ("empty.txt", "empty.jsonl"):
        (shard,) = plan_shards(write(folder, name, b""), config)
        (chunk,) = read_checked(shard, config)
        assert chunk.key == (0, 0, True, True)
        assert tally_of(chunk) == (0, 0, 0, 0, 0, 0, 0, hashlib.sha256(b"").hexdigest())


def test_a_shard_within_one_long_record_gives_one_empty_chunk(folder: Path) -> None:
    config = ReadConfig(shard_bytes=10)
    shards = plan_shards(write(folder, "long.txt", b"a" * 35 + b"\nb\n"), config)
    assert [(part.begin, part.end, part.first_record) for shard in shards for part in shard.ranges] == [
        (0, 36, 0),
        (36, 36, 1),
        (36, 36, 1),
        (36, 38, 1),
    ]
    assert [len(outcome(read_checked(shard, config)).documents) for shard in shards] == [1, 0, 0, 1]


def test_text_is_kept_as_it_stands(folder: Path) -> None:
    """NUL, control characters, carriage returns and other line separators are text; a mark and line ends are not."""
    data = "\ufeff하나\x00둘\r\n셋\u2028넷\x0b\r다섯\n\ufeff여섯\r".encode()
    assert texts(read_data(folder, data)) == ["하나\x00둘", "셋\u2028넷\x0b\r다섯", "\ufeff여섯\r"]


def test_a_block_keeps_its_inner_line_ends(folder: Path) -> None:
    data = "\n\n하나\r\n 둘\n\u3000\r\n셋\n\n\n넷".encode()
    found = read_data(folder, data, text_unit="block")
    assert [(doc_id.split("#")[-1], text) for doc_id, _, _, text, _ in found.documents] == [
        ("1", "하나\r\n 둘"),
        ("2", "셋"),
        ("3", "넷"),
    ]
    assert found.blanks == 1


def test_a_file_is_one_document_named_as_the_file(folder: Path) -> None:
    path = write(folder, "whole.txt", "\ufeff첫 줄\n\n다음 줄\n".encode())
    config = ReadConfig(text_unit="file", shard_bytes=4)
    (shard,) = plan_shards(path, config)
    assert outcome(read_checked(shard, config)).documents == [(path, path, 0, "첫 줄\n\n다음 줄\n", None)]


def test_jsonl_gives_documents_with_ids_and_metadata(folder: Path) -> None:
    lines = [
        '{"id": "가", "text": "눈이 왔다.", "year": 1936, "tags": ["시"]}',
        "",
        '{"id": 12, "text": "비가 온다."}',
        '{"text": "\\ud83d\\ude00 웃음", "id": 1.5}',
        '{"text": "이름이 없다."}',
        '{"text": " \\n", "id": "blank"}',
    ]
    found = read_data(
        folder, "\r\n".join(lines).encode(), "docs.jsonl", input_format="jsonl", keep_metadata=True, batch_bytes=1
    )
    path = str(folder / "docs.jsonl")
    assert found.documents == [
        ("가", path, 0, "눈이 왔다.", '{"year": 1936, "tags": ["시"]}'),
        ("12", path, 2, "비가 온다.", "{}"),
        ("1.5", path, 3, "😀 웃음", "{}"),
        (f"{path}#4", path, 4, "이름이 없다.", "{}"),
    ]
    assert (found.rejects, found.blanks) == ([], 2)


def test_a_reject_tells_its_place_its_reason_and_its_bytes(folder: Path) -> None:
    bad = b'{"text": "\xec\x95"}'
    found = read_data(folder, b'\n{"text": "ok"}\n' + bad + b"\r\n{", "rejects.jsonl", input_format="jsonl")
    source = str(folder / "rejects.jsonl")
    assert found.rejects == [
        (source, 2, 16, "read", "broken UTF-8: invalid continuation byte at byte 10 of the record", bad, len(bad)),
        (
            source,
            3,
            16 + len(bad) + 2,
            "read",
            "malformed JSON: Expecting property name enclosed in double quotes at character 1",
            b"{",
            1,
        ),
    ]
    assert texts(found) == ["ok"]


def test_raw_bytes_of_a_reject_are_bounded(folder: Path) -> None:
    found = read_data(folder, b"\xff" * (MAX_RAW_BYTES + 5) + b"\nok\n")
    (reject,) = found.rejects
    assert (len(reject[5]), reject[6]) == (MAX_RAW_BYTES, MAX_RAW_BYTES + 5)
    assert texts(found) == ["ok"]


@pytest.mark.parametrize("unit", ["line", "block", "file"])
def test_an_overlong_record_is_refused_without_being_held(folder: Path, unit: str) -> None:
    """5 MB in one record with a bound of 1,000 bytes: one reject, whose size is told exactly."""
    data = b"ab \n" + b"x" * 5_000_000 + b"\r\n\nc"
    if unit == "block":
        data = data.replace(b"ab \n", b"ab \n\n")
    found = read_data(folder, data, text_unit=unit, max_record_bytes=1000, shard_bytes=1_000_000)
    (reject,) = found.rejects
    size = len(data) if unit == "file" else 5_000_000
    assert reject[4] == f"record too long: {size} bytes, `max_record_bytes` is 1000"
    assert reject[6] == size
    assert data[reject[2] :].startswith(reject[5])
    assert texts(found) == ([] if unit == "file" else ["ab ", "c"])


@pytest.mark.parametrize("suffix", COMPRESS)
def test_each_compression_reads_the_same(folder: Path, suffix: str) -> None:
    data = "".join(f"문장 {number}번.\n" for number in range(5000)).encode()
    found = read_data(folder, COMPRESS[suffix](data), f"packed.txt{suffix.upper()}", shard_bytes=20_000)
    assert texts(found) == data.decode().splitlines()
    assert found.rejects == []


@pytest.mark.parametrize("suffix", COMPRESS)
def test_members_that_follow_one_another_are_one_stream(folder: Path, suffix: str) -> None:
    data = COMPRESS[suffix](b"one\ntw") + COMPRESS[suffix](b"o\nthree")
    assert texts(read_data(folder, data, f"members.txt{suffix}")) == ["one", "two", "three"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_truncated_stream_keeps_its_whole_records(folder: Path, suffix: str) -> None:
    """Cut anywhere, the records before the break are kept, one reject tells of the break, and the shard ends."""
    lines = [hashlib.sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(3000)]
    whole = "".join(f"{line}\n" for line in lines).encode()
    packed = COMPRESS[suffix](whole)
    most = 0
    for cut in range(3, len(packed), max(1, len(packed) // 23)):
        found = read_data(folder, packed[:cut], f"truncated.txt{suffix}", shard_bytes=30_000)
        kept = texts(found)
        assert kept == lines[: len(kept)]
        (reject,) = found.rejects
        _, index, begin, stage, reason, raw, raw_bytes = reject
        assert (index, stage, begin) == (None, "read", 65 * len(kept))
        part = {".gz": "member", ".zst": "frame"}.get(suffix, "stream")
        assert reason.startswith(f"broken stream: the file ends within the {part} that begins at byte 0 ")
        assert reason.endswith(f"(at byte {begin + raw_bytes} of what it decompresses to)")
        assert whole[begin : begin + raw_bytes] == raw
        assert raw_bytes < 65
        most = max(most, len(kept))
    # zst gives nothing of a block of 128 KiB that is cut, bz2 nothing of one of 900 kB, which is all there is here.
    assert most > 2000 or suffix == ".bz2"


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_false_compressed_file_is_one_reject(folder: Path, suffix: str) -> None:
    found = read_data(folder, "그냥 글이다.\n".encode() * 50, f"false.txt{suffix}")
    (reject,) = found.rejects
    assert (found.documents, found.blanks) == ([], 0)
    assert reject[1:3] == (None, 0)
    assert reject[4].startswith("broken stream: ")


def test_of_two_members_the_one_with_a_wrong_checksum_is_rejected(folder: Path) -> None:
    packed = bytearray(gzip.compress(b"one\ntwo\n") + gzip.compress(b"three\nfour"))
    packed[-5] ^= 1
    found = read_data(folder, bytes(packed), "checksum.txt.gz")
    assert texts(found) == ["one", "two"]
    (reject,) = found.rejects
    assert reject[1:3] == (None, 8)
    assert "incorrect data check" in reject[4]


@pytest.mark.parametrize(("unit", "kept"), [("block", ["one"]), ("file", [])])
def test_a_break_goes_with_the_unfinished_record(folder: Path, unit: str, kept: list[str]) -> None:
    packed = gzip.compress(b"one\n\ntwo\nthree\n")[:-8]
    found = read_data(folder, packed, "unfinished.txt.gz", text_unit=unit)
    assert texts(found) == kept
    (reject,) = found.rejects
    assert reject[1] is None
    assert reject[5] == (b"two\nthree" if unit == "block" else b"one\n\ntwo\nthree\n")


def test_a_chunk_holds_about_batch_bytes_of_text(folder: Path) -> None:
    """A chunk ends with the document that fills it."""
    path = write(folder, "chunks.txt", "".join(f"{'가' * (number % 90)}\n" for number in range(3000)).encode())
    (shard,) = plan_shards(path, ReadConfig())
    chunks = read_checked(shard, ReadConfig(batch_bytes=1000))
    sizes = [sum(len(text.encode()) for text in texts(outcome([chunk]))) for chunk in chunks]
    assert all(1000 <= size < 1000 + 3 * 90 for size in sizes[:-1])
    assert len(sizes) > 300


def test_a_source_that_cannot_be_read_is_an_error_and_no_reject(folder: Path) -> None:
    """An error of the disk is not taken for a break of the stream."""
    (folder / "folder.txt.gz").mkdir()
    with pytest.raises(ShardReadError, match=r"Shard 0 .* cannot be read: .*Is a directory"):
        list(read_shard(make_shard(str(folder / "folder.txt.gz")), ReadConfig()))


def test_a_source_that_changed_since_the_plan_is_refused(folder: Path) -> None:
    path = write(folder, "changing.txt", b"a\nb\n")
    shard = make_shard(path, 0, 4, shard_id=7)
    write(folder, "changing.txt", b"a\nb\nc\n")
    with pytest.raises(ShardReadError, match=r"Shard 7 \(.*changing.txt, 0 to 4\) cannot be read: A source must stay"):
        list(read_shard(shard, ReadConfig()))


def test_a_source_that_changes_while_it_is_read_gives_no_last_chunk(folder: Path) -> None:
    path = write(folder, "restless.txt", b"a\nb\n")
    chunks = read_shard(make_shard(path, 0, 4), ReadConfig(batch_bytes=1))
    assert not next(chunks).key.last_of_segment
    write(folder, "restless.txt", b"a\nb\nc\n")
    with pytest.raises(ShardReadError, match="A source must stay as it was planned"):
        list(chunks)


def test_a_source_that_shrank_is_an_error_and_no_reject(folder: Path) -> None:
    path = write(folder, "shrunk.txt", b"a\n")
    with pytest.raises(ShardReadError, match=r"Shard 0 .* must keep the 4 bytes that were planned, got 2"):
        list(read_shard(make_shard(path, 0, 4), ReadConfig()))


def test_a_source_that_is_gone_is_an_error(folder: Path) -> None:
    shard = make_shard(str(folder / "nowhere.txt.gz"), shard_id=5)
    with pytest.raises(ShardReadError, match=r"Shard 5 .*nowhere\.txt\.gz.* cannot be read: .*No such file"):
        list(read_shard(shard, ReadConfig()))
    with pytest.raises(ShardReadError, match="Shard 5"):
        list(count_records(shard, ReadConfig()))


def test_a_receipt_of_other_bytes_is_refused(folder: Path) -> None:
    """A stream that was rewritten under its receipts is found out when they are passed."""
    path = write(folder, "rewritten.txt.gz", gzip.compress(b"a\nb\nc\n"))
    shard, config = make_shard(path), ReadConfig(shard_bytes=2)
    first = receipt_of(next(by_segment(read_checked(shard, config))), shard)
    shard = make_shard(write(folder, "rewritten.txt.gz", gzip.compress(b"x\nb\nc\n")))
    with pytest.raises(ShardReadError, match="The bytes of a committed segment must stay as they were"):
        list(read_shard(shard, config, [first]))


def test_a_receipt_of_another_place_is_refused(folder: Path) -> None:
    path = write(folder, "place.txt.gz", gzip.compress(b"a\nb\nc\n"))
    shard, config = make_shard(path), ReadConfig(shard_bytes=2)
    _, second, _ = (receipt_of(segment, shard) for segment in by_segment(read_checked(shard, config)))
    moved = Receipt.from_json(second.to_json().replace('"segment": 1', '"segment": 0'))
    with pytest.raises(ShardReadError, match="The receipt of segment 0 must begin at"):
        list(read_shard(shard, config, [moved]))


@pytest.mark.parametrize("name", ["novel", "boddari"])
def test_a_real_corpus_is_read_as_the_standard_library_reads_it(shared_data: Path, name: str) -> None:
    path = str(shared_data / "text" / f"{name}.jsonl.xz")
    config = ReadConfig(input_format="jsonl", shard_bytes=1_000_000)
    (shard,) = plan_shards(path, config)
    found = outcome(read_checked(shard, config))
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        records = [json.loads(line) for line in lines]
    assert [document[0::3] for document in found.documents] == [(str(r["id"]), r["text"]) for r in records]
    assert (found.rejects, found.blanks) == ([], 0)
