"""A chunk that is not the next one, or whose records are not all there, stops the segment."""

import dataclasses
import re

import pytest

from klue_beam.schemas.shard import Coverage, Shard, SourceRange, Tally
from klue_beam.transforms.write.chain import ChainChecker
from klue_beam.transforms.write.contract import ContractError

PLACE = "Shard 3 (뉴스.txt, 0 to 1000), segment 0: "
BROKEN = PLACE + "a runner broke the chain from read to write: "


def follow(annotated, *chunks):
    chain = ChainChecker(annotated.SHARD, 0, annotated.SCHEMA)
    for chunk in chunks:
        chain.follow(chunk)
    return chain


def rows(annotated, *records):
    return [annotated.row(record, f"문장 {record}.") for record in records]


def first_chunk(annotated, **options):
    return annotated.chunk(rows(annotated, 0, 1), last=False, **options)


def test_chunks_in_order_add_up_to_what_the_segment_covers(annotated):
    chain = follow(
        annotated,
        first_chunk(annotated, records=(0, 4)),
        annotated.chunk(
            rows(annotated, 5), [annotated.reject(4), annotated.reject(5, "annotate")], batch=1, last=False
        ),
        annotated.chunk([], [annotated.reject(None)], batch=2, records=(6, 6)),
    )
    assert chain.covered == (Coverage("뉴스.txt", 0, 6, 0, 60, "0" * 64),)
    assert (chain.documents, chain.blanks, chain.rejected_records) == (3, 2, 1)
    assert chain.ended
    assert chain.last_of_shard


def test_a_later_segment_may_begin_with_any_record(annotated):
    chain = ChainChecker(annotated.SHARD, 2, annotated.SCHEMA)
    chain.follow(annotated.chunk(rows(annotated, 70), key={"segment": 2}))
    assert chain.covered[0].first_record == 70


OUT_OF_ORDER = {
    "another shard": (
        lambda a: [a.chunk(rows(a, 0), shard=dataclasses.replace(a.SHARD, shard_id=4))],
        "shard 4, segment 0 came before the last chunk of this segment",
    ),
    "another segment": (
        lambda a: [first_chunk(a), a.chunk(rows(a, 2), batch=0, key={"segment": 1})],
        "shard 3, segment 1 came before the last chunk of this segment",
    ),
    "a chunk lost": (lambda a: [first_chunk(a), a.chunk(rows(a, 2), batch=2)], "batch 1 must come next, got 2"),
    "the first lost": (lambda a: [a.chunk(rows(a, 2), batch=1)], "batch 0 must come next, got 1"),
    "a chunk doubled": (lambda a: [first_chunk(a), first_chunk(a)], "batch 1 must come next, got 0"),
    "more after the last": (
        lambda a: [a.chunk(rows(a, 0)), a.chunk(rows(a, 1), batch=1)],
        "batch 1 came after the last one",
    ),
    "an end that is none": (
        lambda a: [first_chunk(a, key={"last_of_shard": True})],
        "the last chunk of a shard must be the last of its segment as well",
    ),
    "records skipped": (
        lambda a: [first_chunk(a), a.chunk(rows(a, 3), batch=1)],
        "`first_record` must be 2, where the part before ended, got 3",
    ),
    "bytes skipped": (
        lambda a: [first_chunk(a), a.chunk(rows(a, 2), batch=1, tally={"begin": 21})],
        "`begin` must be 20, where the part before ended, got 21",
    ),
    "records backwards": (
        lambda a: [a.chunk([], tally={"first_record": 0, "end_record": -1})],
        "`end_record` must not be less than `first_record` 0, got -1",
    ),
    "not the shard's first record": (lambda a: [a.chunk(rows(a, 1))], "the range begins with record 0, got 1"),
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_a_chunk_that_is_not_the_next_one_is_refused(annotated, name):
    chunks, message = OUT_OF_ORDER[name]
    with pytest.raises(ContractError, match="^" + re.escape(f"{BROKEN}{message}. Nothing was published. Use a runner")):
        follow(annotated, *chunks(annotated))


UNACCOUNTED = {
    "a document without rows": (
        lambda a: a.chunk(rows(a, 0, 2), records=(0, 3), tally={"documents": 3, "blanks": 0}),
        "records 0 to 2 of 뉴스.txt are not all accounted for: 3 documents were read, 2 have rows or are dropped",
    ),
    "a record lost": (
        lambda a: a.chunk(rows(a, 0, 1), records=(0, 3), tally={"blanks": 0}),
        "records 0 to 2 of 뉴스.txt are not all accounted for: 3 records were read, but there are 2 documents, "
        "0 blanks and 0 rejected records",
    ),
    "a record in both": (
        lambda a: a.chunk(rows(a, 0, 1), [a.reject(1)]),
        "record 1 is in the rows and in the rejects of the readers",
    ),
    "a record rejected twice": (
        lambda a: a.chunk(rows(a, 0), [a.reject(1), a.reject(1)]),
        "record 1 is in the rejects of the readers more than once",
    ),
    "a record of elsewhere": (
        lambda a: a.chunk(rows(a, 0, 9), records=(0, 2)),
        "a row has record 9, which is none of the chunk's",
    ),
    "a reject of elsewhere": (
        lambda a: a.chunk(rows(a, 0), [a.reject(9)], records=(0, 2)),
        "a reject has record 9, which is none of the chunk's",
    ),
    "a late reject without row": (
        lambda a: a.chunk(rows(a, 0), [a.reject(1, "annotate")], records=(0, 2)),
        "record 1 has a reject of a later stage, but no row",
    ),
    "a late reject without record": (
        lambda a: a.chunk(rows(a, 0), [a.reject(None, "annotate")]),
        "a reject of stage 'annotate' names no record",
    ),
    "rows of another source": (
        lambda a: a.chunk([a.row(0, "문장.", source="잡지.txt")]),
        "a row is of another source, '잡지.txt'",
    ),
    "rejects of another source": (
        lambda a: a.chunk([], [a.reject(0, source="잡지.txt")]),
        "a reject is of another source, '잡지.txt'",
    ),
}


@pytest.mark.parametrize("name", UNACCOUNTED)
def test_a_chunk_whose_records_are_not_all_accounted_for_is_refused(annotated, name):
    chunk, message = UNACCOUNTED[name]
    with pytest.raises(ContractError, match="^" + re.escape(PLACE + message)):
        follow(annotated, chunk(annotated))


def shared(annotated):
    """A shard of three small files."""
    names = ("a.txt", "b.txt", "c.txt")
    return Shard(3, tuple(SourceRange(name, 10, "1", 0, 10, 0) for name in names))


def span(annotated, tallies, rows=(), dropped=(), batch=0, last=False):
    """A chunk over several files: for each tally its range, its records and whether the range ends with it."""
    sources = [part.source for part in shared(annotated).ranges]
    rows = [annotated.row(record, f"문장 {record}.", source=sources[index]) for index, record in rows]
    dropped = [
        {"source": sources[index], "record_index": record, "begin": None, "step": "a", "reason": "b"}
        for index, record in dropped
    ]
    chunk = annotated.chunk(rows, dropped=dropped, batch=batch, last=last, shard=shared(annotated))
    told = []
    for index, first, end, documents, ended in tallies:
        blanks = end - first - documents
        told.append(Tally(index, first, end, first, end, documents, blanks, "0" * 64 if ended else ""))
    return dataclasses.replace(chunk, tallies=tuple(told))


def follow_shared(annotated, *chunks):
    chain = ChainChecker(shared(annotated), 0, annotated.SCHEMA)
    for chunk in chunks:
        chain.follow(chunk)
    return chain


def test_chunks_span_files_and_add_up_file_by_file(annotated):
    chain = follow_shared(
        annotated,
        span(annotated, [(0, 0, 2, 2, True), (1, 0, 1, 1, False)], rows=[(0, 0), (0, 1), (1, 0)]),
        span(
            annotated,
            [(1, 1, 3, 1, True), (2, 0, 0, 0, True)],
            rows=[],
            dropped=[(1, 2)],
            batch=1,
            last=True,
        ),
    )
    assert chain.covered == (
        Coverage("a.txt", 0, 2, 0, 2, "0" * 64),
        Coverage("b.txt", 0, 3, 0, 3, "0" * 64),
        Coverage("c.txt", 0, 0, 0, 0, "0" * 64),
    )
    assert (chain.documents, chain.blanks, chain.dropped_documents) == (4, 1, 1)


SHARED_PLACE = "Shard 3 (3 files, a.txt to c.txt), segment 0: "
NOT_SHARED = {
    "a file skipped": (
        lambda a: [span(a, [(0, 0, 0, 0, True), (2, 0, 0, 0, True)])],
        "a runner broke the chain from read to write: range 1 of 3 must come next, got 2",
    ),
    "a file that goes on after its end": (
        lambda a: [span(a, [(0, 0, 0, 0, True)]), span(a, [(0, 0, 0, 0, True)], batch=1)],
        "a runner broke the chain from read to write: range 1 of 3 must come next, got 0",
    ),
    "a file left before its end": (
        lambda a: [span(a, [(0, 0, 0, 0, False), (1, 0, 0, 0, True)])],
        "a runner broke the chain from read to write: `range_index` must be 0, where the part before ended, got 1",
    ),
    "the last files missing": (
        lambda a: [span(a, [(0, 0, 0, 0, True)], last=True)],
        "a runner broke the chain from read to write: 1 of 3 ranges have come",
    ),
    "an end that no file has": (
        lambda a: [span(a, [(0, 0, 0, 0, False)], last=True)],
        "a runner broke the chain from read to write: the last chunk of a segment must end its range",
    ),
    "nothing told": (
        lambda a: [span(a, [])],
        "a runner broke the chain from read to write: a chunk must tell what it covers",
    ),
    "files in another order": (
        lambda a: [span(a, [(0, 0, 1, 1, True), (1, 0, 1, 1, True)], rows=[(1, 0), (0, 0)])],
        "the rows must be in the order of the shard's sources and records.",
    ),
    "a record of another file": (
        lambda a: [span(a, [(0, 0, 1, 1, True), (1, 0, 1, 1, True)], rows=[(0, 0)])],
        "records 0 to 0 of b.txt are not all accounted for: 1 documents were read, 0 have rows or are dropped",
    ),
    "a document dropped and kept": (
        lambda a: [span(a, [(0, 0, 1, 1, True)], rows=[(0, 0)], dropped=[(0, 0)])],
        "record 0 is dropped and in the rows.",
    ),
    "a document dropped twice": (
        lambda a: [span(a, [(0, 0, 1, 1, True), (1, 0, 0, 0, True)], dropped=[(0, 0), (0, 0)])],
        "record 0 of a.txt is dropped more than once.",
    ),
}


@pytest.mark.parametrize("name", NOT_SHARED)
def test_a_shard_of_several_files_is_checked_file_by_file(annotated, name):
    chunks, message = NOT_SHARED[name]
    with pytest.raises(ContractError, match="^" + re.escape(f"{SHARED_PLACE}{message}")):
        follow_shared(annotated, *chunks(annotated))
