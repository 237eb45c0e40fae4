"""Spans, the batch of texts, and realignment."""

import itertools
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klue_beam.transforms.base.codepoints import is_white_space
from klue_beam.transforms.split.splitters.realign import locate_sentences
from klue_beam.transforms.split.splitters.spans import TextBatch, codes_of, sentences_between


def test_white_space_is_what_str_isspace_says_for_every_code_point():
    codes = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    expected = [chr(code).isspace() for code in range(sys.maxunicode + 1)]
    assert is_white_space(codes).tolist() == expected


@given(st.text(), st.lists(st.integers(0, 30)))
def test_pieces_between_cuts_lose_nothing_but_white_space(text, cuts):
    cuts = np.array(sorted({cut for cut in cuts if cut <= len(text)}), dtype=np.int64)
    begins, ends = sentences_between(cuts, is_white_space(codes_of(text)))
    pieces = [text[begin:end] for begin, end in zip(begins, ends, strict=True)]
    assert all(piece and piece == piece.strip() for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.integers(0, 3))
def test_a_batch_of_texts_knows_their_code_points_even_in_a_slice(texts, skipped):
    batch = TextBatch(pa.array(texts, pa.string())[skipped:])
    begins = batch.begins
    assert ["".join(map(chr, batch.codes()[begin:end])) for begin, end in itertools.pairwise(begins)] == texts[skipped:]


def test_strings_are_cut_out_of_a_batch_by_code_points():
    batch = TextBatch(pa.array(["가😀나", "", "다a"]))
    assert batch.take(np.array([0, 1, 3]), np.array([1, 3, 5])).to_pylist() == ["가", "😀나", "다a"]


def test_a_null_text_is_refused():
    with pytest.raises(ValueError, match=r"`texts` must hold no nulls, got 1\. Drop those documents first\."):
        TextBatch(pa.array(["가", None]))


@given(st.lists(st.text(min_size=1).filter(lambda text: text.strip() == text != ""), min_size=1), st.data())
def test_sentences_are_found_whatever_happened_to_white_space(sentences, data):
    space = st.sampled_from([" ", "\n", "  ", "\t\u3000", ""])
    text = "".join(sentence + data.draw(space) for sentence in sentences)
    cuts = locate_sentences(text, [data.draw(space) + sentence for sentence in sentences])
    ends = np.cumsum([len("".join(sentence.split())) for sentence in sentences])
    assert [len("".join(text[:cut].split())) for cut in cuts] == ends[:-1].tolist()


@pytest.mark.parametrize(
    "sentences",
    [
        ["밥을 먹었다"],
        ["밥을 먹었다.", "."],
        ["먹었다.", "밥을"],
        ["밥을 먹었다.", "다."],
        ["밥을 멋었다."],
        [],
    ],
    ids=["lost", "added", "moved", "twice", "changed", "nothing"],
)
def test_sentences_that_differ_from_the_text_are_not_located(sentences):
    assert locate_sentences("밥을 먹었다.", sentences) is None
