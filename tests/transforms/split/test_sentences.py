"""Splitting documents: the function, the transform, and what each splitter promises."""

import dataclasses
import importlib
import itertools

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that

from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.registry import SPLITTERS
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, SourceRange, Tally
from klue_beam.transforms.split.sentences import SplitSentences, load_splitter, split_sentences, splitter_version
from klue_beam.transforms.split.splitters.foreign import PIECE_CHARS, ForeignSplitter, require_package

TEXTS = [
    "비가 온다. 우산을 챙겼다.\n\n바람도 분다 😀 춥다!",
    "",
    " \t\n\u3000",
    "NUL\0이 있다. 그래도 괜찮다.",
    "마침표 없는 글이에요 그래도 나눠야 해요 정말요",
    "\u1100\u1161\u11ab 조합형이다. \u202e거꾸로 쓴다. 끝.",
]


def documents(texts, metadata=None):
    rows = [
        {"doc_id": f"문서-{n}", "source": "글.jsonl", "record_index": 7 + n, "text": text, "metadata": metadata}
        for n, text in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENT)


@pytest.mark.parametrize("name", SPLITTERS)
def test_each_splitter_gives_exact_rows_of_the_sentence_schema(name):
    rows = documents(TEXTS, metadata='{"쪽": 3}')
    sentences = split_sentences(rows, load_splitter(name))
    sentences.validate(full=True)
    assert sentences.schema == SENTENCE
    by_record = {
        key: list(group) for key, group in itertools.groupby(sentences.to_pylist(), lambda r: r["record_index"])
    }
    assert sorted(by_record) == [7, 10, 11, 12]
    for record, group in by_record.items():
        text, past = TEXTS[record - 7], 0
        assert [row["sentence_index"] for row in group] == list(range(len(group)))
        for row in group:
            assert row["text"] == text[row["begin"] : row["end"]] == row["text"].strip() != ""
            assert text[past : row["begin"]].strip() == ""
            assert (row["doc_id"], row["source"]) == (f"문서-{record - 7}", "글.jsonl")
            assert (row["metadata"], row["flags"]) == ('{"쪽": 3}', [])
            past = row["end"]
        assert text[past:].strip() == ""


@pytest.mark.parametrize("name", SPLITTERS)
def test_the_callable_and_the_batch_agree_also_on_a_slice(name):
    splitter = load_splitter(name)
    spans = splitter.split_batch(pa.array(TEXTS)[1:])
    found = [[] for _ in TEXTS[1:]]
    for row, begin, end in zip(spans.row.tolist(), spans.begin.tolist(), spans.end.tolist(), strict=True):
        found[row].append((begin, end))
    assert found == [splitter(text) for text in TEXTS[1:]]


@pytest.mark.parametrize("name", SPLITTERS)
def test_a_lone_surrogate_is_kept_by_the_callable(name):
    text = "앞\ud800뒤 문장이다. 둘째 문장이다."
    pieces = [text[begin:end] for begin, end in load_splitter(name)(text)]
    assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize("name", SPLITTERS)
def test_an_empty_text_and_white_space_have_no_sentence(name):
    assert load_splitter(name)("") == load_splitter(name)(" \n\u2028\u3000") == []


@pytest.mark.parametrize("name", SPLITTERS)
def test_an_empty_batch_stays_empty(name):
    assert split_sentences(documents([]), load_splitter(name)).num_rows == 0


@pytest.mark.parametrize("name", ["fast", "newline", "none"])
def test_a_megabyte_without_any_mark_is_split_in_linear_time_and_exactly(name):
    for text in ("가" * 1_000_000, *(mark * 50_000 for mark in ("(", '"', "! ", "a.", "[1", "ㅋ ", ":)"))):
        pieces = [text[begin:end] for begin, end in load_splitter(name)(text)]
        assert "".join("".join(pieces).split()) == "".join(text.split())


def test_newline_takes_each_line_and_none_the_whole_text():
    text = "첫 줄. 아직 첫 줄.\r\n둘째 줄\u2028셋째 줄\n\n"
    assert [text[slice(*span)] for span in load_splitter("newline")(text)] == [
        "첫 줄. 아직 첫 줄.",
        "둘째 줄",
        "셋째 줄",
    ]
    assert [text[slice(*span)] for span in load_splitter("none")(text)] == [text.strip()]


def test_an_unknown_splitter_is_refused_before_a_pipeline_runs():
    rule = r"`splitter` must be one of fast, kss, kiwi, newline, none, got 'punkt'\. Choose one of them\."
    for refused in (load_splitter, splitter_version, SplitSentences):
        with pytest.raises(ValueError, match=rule):
            refused("punkt")


def test_a_missing_package_is_named_with_its_remedy():
    with pytest.raises(ModuleNotFoundError, match=r"needs the package `no-such-package`, got none\. Install it\."):
        require_package("no-such-package", "Install it.")


def test_versions_name_what_a_result_depends_on():
    versions = {name: splitter_version(name) for name in SPLITTERS}
    assert versions["fast"] in versions["kss"]
    assert versions["fast"] in versions["kiwi"]
    assert "mecab" in versions["kss"]


def test_a_process_loads_a_splitter_once():
    assert load_splitter("fast") is load_splitter("fast")


def foreign(sentences_of):
    return ForeignSplitter("kss", sentences_of, load_splitter("fast"))


@pytest.mark.parametrize(
    "sentences_of",
    [lambda text: [text[1:]], lambda text: [text, text], lambda text: 1 / 0, lambda text: text.split()[::-1]],
    ids=["loses", "doubles", "raises", "reorders"],
)
def test_what_cannot_be_located_is_split_by_fast_and_flagged(sentences_of):
    text = "비가 온다. 우산을 챙겼다."
    sentences = split_sentences(documents([text, "넷!"]), foreign(sentences_of)).to_pylist()
    assert [row["text"] for row in sentences[:2]] == ["비가 온다.", "우산을 챙겼다."]
    assert sentences[0]["flags"] == sentences[1]["flags"] == ["splitter_fallback"]


def test_only_the_piece_that_failed_falls_back():
    text = "첫 문장이다. " + "가나다라. " * PIECE_CHARS + "끝 문장이다."
    splitter = foreign(lambda piece: ["?"] if "끝 문장" in piece else [part + "." for part in piece.split(".")[:-1]])
    spans = splitter.split_batch(pa.array([text]))
    assert 0 < spans.fell_back.sum() < len(spans.fell_back)
    assert not spans.fell_back[0]
    assert spans.fell_back[-1]


def test_foreign_splitters_never_see_a_nul_a_surrogate_or_a_long_text():
    seen = []

    def sentences_of(text):
        seen.append(text)
        return [text]

    text = "\0\ud83d" + "문장이다. " * PIECE_CHARS
    foreign(sentences_of)(text)
    assert max(map(len, seen)) <= PIECE_CHARS
    assert not any("\0" in piece or "\ud83d" in piece for piece in seen)
    assert "".join("".join(seen).split()) == "".join(text.translate({0: "\ufffd", 0xD83D: "\ufffd"}).split())


def test_kss_ends_at_once_on_a_text_that_its_own_url_pattern_never_ends_on():
    text = "보세요 http:" + "!" * 60 + " 끝났다. 다음이다."
    assert load_splitter("kss")(text)[-1] == (len(text) - 5, len(text))


def test_kss_does_not_remember_addresses():
    splitter = load_splitter("kss")
    remembered = importlib.import_module("kss._modules.sentences.sentence_processor").SentenceProcessor._normal_backup
    before = dict(remembered)
    first = splitter("주소는 https://example.com/a 이다. 둘째다.")
    splitter("메일은 someone@example.com 이다. www.example.org 도 있다.")
    assert remembered == before
    assert splitter("주소는 https://example.com/a 이다. 둘째다.") == first


def test_the_transform_splits_each_chunk_and_leaves_the_rest_of_it_alone():
    rejects = pa.RecordBatch.from_pylist(
        [{"source": "글.jsonl", "record_index": 3, "stage": "read", "reason": "broken UTF-8"}], schema=REJECT
    )
    dropped = pa.RecordBatch.from_pylist([], schema=DROPPED)
    shard = Shard(1, (SourceRange("글.jsonl", 400, "1", 0, 400, 7),))
    tallies = (Tally(0, 7, 13, 0, 400, 4, 2, "ab"),)
    chunk = Chunk(shard, ChunkKey(0, 0, True, True), documents(TEXTS), rejects, dropped, tallies)
    expected = dataclasses.replace(chunk, rows=split_sentences(chunk.rows, load_splitter("fast")))

    def check(found):
        (got,) = found
        assert (got.shard, got.key, got.tallies) == (expected.shard, expected.key, expected.tallies)
        assert got.rows.equals(expected.rows)
        assert got.rejects.equals(rejects)

    with TestPipeline() as pipeline:
        chunks = pipeline | beam.Create([chunk]) | SplitSentences()
        assert_that(chunks, check)
    assert chunk.rows.schema == DOCUMENT
