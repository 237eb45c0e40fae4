"""The text that is measured on."""

import json
from pathlib import Path

import pytest

from benchmarks.samples import (
    count_bytes,
    count_characters,
    read_documents,
    sample_documents,
    sample_sentences,
    write_distinct,
    write_jsonl,
)
from klue_beam.transforms.split.sentences import load_splitter, split_sentences


def test_documents_are_drawn_whole_until_they_hold_enough_sentences(texts: str) -> None:
    every = read_documents(texts).column("text").to_pylist()
    chosen = sample_documents(texts, 7)
    splitter = load_splitter("fast")
    assert split_sentences(chosen, splitter).num_rows >= 7
    assert split_sentences(chosen.slice(0, chosen.num_rows - 1), splitter).num_rows < 7
    assert set(chosen.column("text").to_pylist()) <= set(every)


def test_a_sample_is_the_same_at_each_call_and_another_with_another_seed(texts: str) -> None:
    assert sample_sentences(texts, 9).equals(sample_sentences(texts, 9))
    assert sample_sentences(texts, 9).num_rows == 9
    drawn = [sample_documents(texts, 1, seed).column("text").to_pylist() for seed in range(8)]
    assert any(documents != drawn[0] for documents in drawn)


def test_an_input_with_fewer_sentences_is_taken_whole(texts: str) -> None:
    assert sample_documents(texts, 1000).num_rows == read_documents(texts).num_rows


def test_characters_and_bytes_are_counted(tmp_path: Path) -> None:
    documents = read_documents(str(write_jsonl(["가나 다", "a"], tmp_path / "two.jsonl")))
    assert (count_characters(documents), count_bytes(documents)) == (5, 11)


def test_distinct_text_of_any_size(texts: str, tmp_path: Path) -> None:
    small = write_distinct(texts, 2_000, tmp_path / "small.jsonl")
    large = write_distinct(texts, 20_000, tmp_path / "large.jsonl")
    assert large.stat().st_size >= 20_000
    assert large.read_bytes().startswith(small.read_bytes())
    documents = [json.loads(line)["text"] for line in large.read_text(encoding="utf-8").splitlines()]
    assert len(set(documents)) == len(documents) > 20


def test_more_distinct_text_than_the_sentences_give_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(["내일 만나자고 그가 말했다."], tmp_path / "one.jsonl")
    with pytest.raises(
        ValueError, match=r"enough for 500 bytes of distinct documents, got 1 sentences in .*one\.jsonl"
    ):
        write_distinct(str(path), 500, tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    "sample",
    [
        lambda path: sample_documents(path, 5),
        lambda path: write_distinct(path, 5, Path(path).with_name("out.jsonl")),
    ],
)
def test_an_input_without_text_is_refused(sample, tmp_path: Path) -> None:
    empty = write_jsonl([" "], tmp_path / "empty.jsonl")
    with pytest.raises(ValueError, match=r"`--input` must hold text, got none in .*empty\.jsonl\. Give another file\."):
        sample(str(empty))
