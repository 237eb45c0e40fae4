"""Records in byte streams."""

import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.schemas.config import TEXT_UNITS, ReadConfig
from klue_beam.transforms.formats.base import Record
from klue_beam.transforms.formats.bytes import ByteWindow
from klue_beam.transforms.formats.records import line_records
from klue_beam.transforms.formats.text import FORMAT, block_records, is_blank

LINES = st.lists(st.sampled_from([b"\n", b"\r\n", b" \n", b"a\n", b"\xff\n", b"bb", b"\xe3\x80\x80\n", b"\r", b"  "]))
BLOCKS = st.lists(st.integers(1, 7), min_size=1, max_size=20)


def split(data: bytes, sizes: list[int]) -> ByteWindow:
    """A window over data that arrives in blocks of these sizes, over and over."""
    ends = itertools.accumulate(itertools.cycle(sizes), initial=0)
    begins = itertools.takewhile(lambda begin: begin < len(data), ends)
    cuts = [*begins, len(data)]
    return ByteWindow(iter([data[begin:end] for begin, end in itertools.pairwise(cuts)]))


def read(window: ByteWindow, unit: str, maximum: int) -> list[Record]:
    return list(FORMAT.records(window, ReadConfig(text_unit=unit, max_record_bytes=maximum)))


@settings(deadline=None)
@given(data=LINES.map(b"".join), sizes=BLOCKS, maximum=st.integers(1, 6), unit=st.sampled_from(TEXT_UNITS))
def test_records_do_not_depend_on_how_bytes_arrive(data: bytes, sizes: list[int], maximum: int, unit: str) -> None:
    """Records partition the bytes, and are the same whatever blocks the source gives."""
    records = read(split(data, sizes), unit, maximum)
    assert records == read(split(data, [10_000]), unit, maximum)
    assert b"".join(data[record.begin : record.end] for record in records) == data
    for record in records:
        assert record.content == data[record.begin : record.begin + len(record.content)]
        assert record.content_bytes <= record.end - record.begin
        if record.content_bytes <= maximum:
            assert len(record.content) == record.content_bytes


@settings(deadline=None)
@given(data=LINES.map(b"".join))
def test_a_block_begins_at_text_after_a_blank_line(data: bytes) -> None:
    """The rule by which a shard's begin is found, said over lines."""
    lines = list(line_records(split(data, [10_000]), 100))
    blanks = [is_blank(line.content) for line in lines]
    begins = [line.begin for index, line in enumerate(lines) if index == 0 or (blanks[index - 1] and not blanks[index])]
    assert [record.begin for record in block_records(split(data, [3]), 100)] == begins


@pytest.mark.parametrize("unit", ["line", "block", "file"])
def test_memory_stays_flat_over_an_endless_record(unit: str) -> None:
    """100 MB in one record, with a bound of 1 MB, take a few MB."""
    block = b"x" * 1_000_000
    window = ByteWindow(block for _ in range(100))
    tracemalloc.start()
    (record,) = read(window, unit, 1_000_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert record.content_bytes == 100_000_000
    assert peak_bytes < 10_000_000
