"""Texts as flat arrays of code points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klue_beam.transforms.base.codepoints import find_eojeols, ranges, to_code_points

# Any text, with all kinds of white space often enough to meet at the ends of texts.
TEXTS = st.lists(
    st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"]),
            st.sampled_from(" \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2028\u3000\0\u200b가"),
        ),
        max_size=12,
    ),
    max_size=5,
)


@given(TEXTS)
def test_eojeols_are_what_str_split_gives(texts: list[str]) -> None:
    """For any texts, the eojeols of each are its str.split, each found at its offsets."""
    eojeols = find_eojeols(to_code_points(texts))
    for i, text in enumerate(texts):
        spans = range(eojeols.offsets[i], eojeols.offsets[i + 1])
        assert [text[eojeols.begin[j] : eojeols.end[j]] for j in spans] == text.split()
    assert eojeols.offsets[-1] == len(eojeols.begin)


@given(TEXTS)
def test_code_points_are_those_of_the_texts(texts: list[str]) -> None:
    """Codes, offsets, lengths and white space agree with Python's own view of each text."""
    chars = to_code_points(texts)
    flat = "".join(texts)
    assert chars.codes.tolist() == [ord(char) for char in flat]
    assert chars.is_space.tolist() == [char.isspace() for char in flat]
    assert chars.lengths.tolist() == [len(text) for text in texts]
    assert chars.text_of_char.tolist() == [i for i, text in enumerate(texts) for _ in text]


def test_a_lone_surrogate_is_refused() -> None:
    """A text that Arrow cannot hold raises."""
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        to_code_points(["가\ud800"])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8))
def test_ranges_concatenates(spans: list[tuple[int, int]]) -> None:
    """Any ranges, empty ones too, come out one after another, each integer with the number of its range."""
    begin = np.array([low for low, _ in spans], dtype=np.int64)
    end = np.array([low + length for low, length in spans], dtype=np.int64)
    which, value = ranges(begin, end)
    expected = [(i, x) for i, (low, length) in enumerate(spans) for x in range(low, low + length)]
    assert list(zip(which.tolist(), value.tolist(), strict=True)) == expected
