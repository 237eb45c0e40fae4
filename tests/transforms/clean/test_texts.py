"""Cleaning changes texts and drops them with a reason; every record stays accounted for."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.schemas.config import AnnotateConfig, CleanStep, ReadConfig
from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.registry import CLEANERS
from klue_beam.transforms.clean.steps import complete_steps, parse_steps
from klue_beam.transforms.clean.texts import CleanDocuments, CleanSentences, clean_texts
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.split.sentences import load_splitter, split_sentences
from klue_beam.transforms.write.chain import ChainChecker


def documents(texts: Sequence[str]) -> pa.RecordBatch:
    rows = [
        {"doc_id": str(n), "source": "a.txt" if n % 2 else "b.txt", "record_index": n, "text": text}
        for n, text in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENT)


def test_steps_are_done_one_after_another() -> None:
    """A text is composed first, so that its length is that of the composed one."""
    steps = parse_steps(["nfc", "min_length:characters=3"])
    texts = [unicodedata.normalize("NFD", "한글"), unicodedata.normalize("NFD", "한글날"), "세 글자"]
    rows, dropped = clean_texts(documents(texts), steps, keep_texts=True)
    assert rows["text"].to_pylist() == ["한글날", "세 글자"]
    assert rows.schema == DOCUMENT
    assert dropped.schema == DROPPED
    assert dropped.to_pylist() == [
        {
            "source": "b.txt",
            "record_index": 0,
            "begin": None,
            "end": None,
            "step": "min_length",
            "reason": "fewer than 3 characters",
            "text": "한글",
        }
    ]
    assert clean_texts(documents(texts), steps)[1]["text"].to_pylist() == [None]


def test_sentences_are_dropped_and_the_others_numbered_anew() -> None:
    sentences = split_sentences(documents(["눈.\n비가 온다.\n해.\n달이 밝다.", "별."]), load_splitter("newline"))
    rows, dropped = clean_texts(sentences, parse_steps(["min_sentence_length:characters=3"]))
    kept = [(row["record_index"], row["sentence_index"], row["begin"], row["text"]) for row in rows.to_pylist()]
    assert kept == [(0, 0, 3, "비가 온다."), (0, 1, 13, "달이 밝다.")]
    assert [(row["record_index"], row["begin"], row["end"]) for row in dropped.to_pylist()] == [
        (0, 0, 2),
        (0, 10, 12),
        (1, 0, 2),
    ]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["sparkle"],
            "`clean` must be one of nfc, min_length, min_sentence_length, got 'sparkle'. Choose one of them.",
        ),
        (["nfc:a=1"], "An option of the cleaner nfc must be one of none: it has no options, got 'a'. Leave it out."),
        (["min_length:length=1"], "An option of the cleaner min_length must be one of characters, got 'length'."),
        (["min_length:characters=many"], "`characters` of the cleaner min_length must be of type int, got 'many'."),
        (["min_length:characters"], "`--clean` must have options as option=value, got 'min_length:characters'."),
    ],
)
def test_wrong_steps_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_steps(texts)


def test_steps_are_read_with_commas_and_apart() -> None:
    steps = parse_steps(["min_length:characters=5,nfc", "min_sentence_length"])
    assert [(step.name, step.options) for step in steps] == [
        ("min_length", {"characters": 5}),
        ("nfc", {}),
        ("min_sentence_length", {"characters": 200}),
    ]
    assert steps[1].version == f"unicode-{unicodedata.unidata_version}"
    assert complete_steps(steps) == steps
    config = AnnotateConfig(clean=steps, keep_dropped=True)
    assert AnnotateConfig.from_dict(config.to_dict()) == config


LINES = st.lists(st.text("가나 a\u1112\u1161\u3000", max_size=6), max_size=25)


@settings(max_examples=60, deadline=None)
@given(
    files=st.lists(LINES, min_size=1, max_size=4),
    batch_bytes=st.integers(1, 60),
    lengths=st.tuples(st.integers(0, 5), st.integers(0, 4)),
    steps=st.permutations(["nfc", "min_length", "min_sentence_length"]),
)
def test_every_record_is_in_rows_dropped_blank_or_rejected_once(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[str]],
    batch_bytes: int,
    lengths: tuple[int, int],
    steps: list[str],
) -> None:
    """As the sink sees it, whatever files share a shard, wherever chunks end, and whatever the steps drop."""
    folder = tmp_path_factory.mktemp("files")
    for number, lines in enumerate(files):
        bad = b"\xff\n" if number % 2 else b""
        (folder / f"{number}.txt").write_bytes("".join(f"{line}\n" for line in lines).encode() + bad)
    config = ReadConfig(batch_bytes=batch_bytes, shard_bytes=100_000)
    options = {"min_length": {"characters": lengths[0]}, "min_sentence_length": {"characters": lengths[1]}}
    cleaning = complete_steps([CleanStep(name=name, options=options.get(name, {})) for name in steps])
    levels = [[step for step in cleaning if CLEANERS[step.name].level == level] for level in ("document", "sentence")]
    (shard,) = make_plan([str(folder)], AnnotateConfig(read=config)).shards
    splitter = load_splitter("newline")
    chain = ChainChecker(shard, 0, split_sentences(documents([]), splitter).schema)
    rows = dropped = rejects = 0
    for chunk in read_shard(shard, config):
        cleaned, gone = clean_texts(chunk.rows, levels[0])
        sentences, parts = clean_texts(split_sentences(cleaned, splitter), levels[1])
        everything = pa.concat_batches([chunk.dropped, gone, parts])
        chain.follow(type(chunk)(chunk.shard, chunk.key, sentences, chunk.rejects, everything, chunk.tallies))
        rows += sentences.num_rows
        dropped += everything.num_rows
        rejects += chunk.rejects.num_rows
    assert chain.ended
    records = sum(len(lines) for lines in files) + len(files) // 2
    assert chain.documents + chain.blanks + chain.rejected_records == records
    assert chain.rejected_records == rejects
    assert chain.documents - chain.dropped_documents <= rows
    assert chain.dropped_documents <= dropped


def test_the_transforms_clean_their_own_level_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("눈.\n비가 온다.\n")
    config = ReadConfig()
    (shard,) = make_plan([str(tmp_path)], AnnotateConfig(read=config)).shards
    steps = [CleanStep(name="min_length", options={"characters": 3})]

    def check(found: Sequence[Any]) -> None:
        (got,) = found
        assert got.rows["text"].to_pylist() == ["비가 온다."]
        assert got.dropped["reason"].to_pylist() == ["fewer than 3 characters"]

    with beam.Pipeline("FnApiRunner") as pipeline:
        chunks = pipeline | beam.Create(list(read_shard(shard, config))) | CleanSentences(steps) | CleanDocuments(steps)
        assert_that(chunks, check)
