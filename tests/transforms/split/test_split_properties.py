"""What holds of every splitter on every text."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klue_beam.transforms.split.sentences import load_splitter

ALPHABET = (
    "가나다요죠까음 \n\t.!?…~^ㅋㅎㅠ\"'“”‘’()[]<>「」:;,-1a"
    "\0\r\u3000\u00a0\u200d\ufe0f\u1100\u1161\u11a8\u202e😀❤é\u0301が\u3099"
)
PIECES = [
    "했다",
    "어요",
    "습니다",
    "…",
    "...",
    "ㅋㅋ",
    ":)",
    "[12]",
    "1. ",
    "라고",
    "하고 ",
    "Dr. ",
    "3.14",
    "www.a.kr",
    "<개정 2016. 1. 27.>",
    "(웃음)",
    "T_T",
    "\n▶ ",
    "각\u0301",
]
UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f"
korean = st.lists(st.sampled_from([*ALPHABET, *PIECES]), max_size=60).map("".join)
any_text = korean | st.text(max_size=80) | st.text(st.characters(), max_size=40)
storable = any_text.filter(lambda text: not any(0xD800 <= ord(character) < 0xE000 for character in text))

QUICK = ("fast", "newline", "none")
SLOW = ("kss", "kiwi")


def check_exact(text, spans):
    past = 0
    for begin, end in spans:
        assert past <= begin < end <= len(text)
        assert not text[past:begin].strip()
        assert text[begin:end] == text[begin:end].strip()
        past = end
    assert not text[past:].strip()


@pytest.mark.parametrize("name", QUICK)
@given(text=any_text)
def test_sentences_and_the_white_space_between_them_are_the_text(name, text):
    splitter = load_splitter(name)
    spans = splitter(text)
    check_exact(text, spans)
    assert splitter(text) == spans


@pytest.mark.parametrize("name", SLOW)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=any_text)
def test_the_same_holds_of_the_foreign_splitters(name, text):
    splitter = load_splitter(name)
    spans = splitter(text)
    check_exact(text, spans)
    assert splitter(text) == spans


@pytest.mark.parametrize("name", QUICK)
@given(texts=st.lists(storable, max_size=6))
def test_a_document_is_split_alike_whatever_stands_beside_it(name, texts):
    splitter = load_splitter(name)
    spans = splitter.split_batch(pa.array(texts, pa.string()))
    found = [[] for _ in texts]
    for row, begin, end in zip(spans.row.tolist(), spans.begin.tolist(), spans.end.tolist(), strict=True):
        found[row].append((begin, end))
    assert found == [splitter(text) for text in texts]


@given(text=any_text)
def test_composed_and_decomposed_text_have_the_same_sentences(text):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    split = load_splitter("fast")
    mapped = [tuple(len(unicodedata.normalize("NFD", composed[:at])) for at in span) for span in split(composed)]
    assert mapped == split(decomposed)


@given(text=any_text, data=st.data())
def test_characters_that_are_not_seen_change_no_sentence(text, data):
    text = "".join(character for character in text if character not in UNSEEN)
    unseen = data.draw(st.lists(st.sampled_from(["", "", *UNSEEN]), min_size=len(text), max_size=len(text)))
    marked = "".join(character + after for character, after in zip(text, unseen, strict=True))
    split = load_splitter("fast")
    pieces = ["".join(c for c in marked[begin:end] if c not in UNSEEN).strip() for begin, end in split(marked)]
    assert [piece for piece in pieces if piece] == [text[begin:end] for begin, end in split(text)]
