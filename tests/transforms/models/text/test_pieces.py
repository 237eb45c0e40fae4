"""Pieces with exact spans, over tokenizers of every common kind."""

import copy
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, PreTrainedTokenizerFast

from klue_beam.transforms.models.text.pieces import (
    TextTokenizer,
    Units,
    index_chars,
    index_eojeols,
    pad_units,
    tokens_of_chars,
)
from tests.tiny_models import SENTENCES, tiny_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece() -> PreTrainedTokenizerFast:
    """A BERT tokenizer that drops control characters and puts unknown words into one piece."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL))
    return wrap(tokenizer)


def byte_level() -> PreTrainedTokenizerFast:
    """A RoBERTa tokenizer, whose pieces can begin and end inside a character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return wrap(tokenizer)


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "unigram": tiny_tokenizer,
    "wordpiece": wordpiece,
    "byte_level": byte_level,
}
TOKENIZERS = {name: TextTokenizer(make()) for name, make in KINDS.items()}

ODD = (
    unicodedata.normalize("NFD", "서울시는 3월에 한강을 열었다."),
    "㈜한빛 ½ 컵, ﷺ 그리고 Ⅷ",
    "👨‍👩‍👧 좋다 👍🏽!",
    "가\0나\x07다\u200b라\ufeff마",
    "",
    "   ",
    "\0",
    "앞  \t 뒤",
    "글" + " " * 3000 + "끝",
    "<s> 가 </s> [SEP] [UNK]",
)

TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.text(st.sampled_from("가나다 \t\0\u200bᄀ\u1161\u11a8é㈜½👍🏽ab."), max_size=20),
        st.sampled_from(SENTENCES),
    ),
    max_size=4,
)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=TEXTS)
@example(texts=list(ODD))
@settings(max_examples=60, deadline=None)
def test_spans_are_exact_and_disjoint(kind: str, texts: list[str]) -> None:
    """For any texts the spans are disjoint and ascending, each inside its text, with no white space at its ends."""
    encoded = TOKENIZERS[kind].encode(texts)
    pieces, chars = encoded.pieces, encoded.chars
    assert pieces.offsets[-1] == len(pieces.ids) == len(pieces.begin) == len(pieces.end)
    assert (pieces.begin <= pieces.end).all()
    assert (pieces.end[:-1] <= pieces.begin[1:]).all()
    for i in range(len(texts)):
        here = slice(pieces.offsets[i], pieces.offsets[i + 1])
        assert (pieces.begin[here] >= chars.offsets[i]).all()
        assert (pieces.end[here] <= chars.offsets[i + 1]).all()
    solid = pieces.begin < pieces.end
    assert not chars.is_space[pieces.begin[solid]].any()
    assert not chars.is_space[pieces.end[solid] - 1].any()
    for piece in np.flatnonzero(solid):
        assert (pieces.piece_of_char[pieces.begin[piece] : pieces.end[piece]] == piece).all()


@pytest.mark.parametrize("kind", KINDS)
@given(texts=TEXTS)
@example(texts=list(ODD))
@settings(max_examples=60, deadline=None)
def test_every_eojeol_has_pieces_of_its_text(kind: str, texts: list[str]) -> None:
    """First and last piece of an eojeol are in order, in its text, and hold a character of it where one does."""
    encoded = TOKENIZERS[kind].encode(texts)
    pieces, eojeols = encoded.pieces, encoded.eojeols
    for i, text in enumerate(texts):
        n_pieces = pieces.lengths[i]
        for j in range(eojeols.offsets[i], eojeols.offsets[i + 1]):
            first, last = encoded.eojeol_first[j], encoded.eojeol_last[j]
            assert -1 <= first <= last < n_pieces
            begin = encoded.chars.offsets[i] + eojeols.begin[j]
            end = encoded.chars.offsets[i] + eojeols.end[j]
            ours = np.arange(pieces.offsets[i], pieces.offsets[i + 1])
            touching = ours[(pieces.begin[ours] < end) & (pieces.end[ours] > begin)] - pieces.offsets[i]
            if len(touching):
                assert (first, last) == (touching[0], touching[-1]), (text, text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_tokenised_as_transformers_does(kind: str) -> None:
    """Laid out with special tokens and padding, the ids are those of a plain call of the tokenizer."""
    ours = TOKENIZERS[kind]
    plain = copy.deepcopy(ours.tokenizer)
    texts = [*SENTENCES, "짧다"]
    encoded = ours.encode(texts)
    units = Units(np.arange(len(texts)), encoded.pieces.offsets[:-1], encoded.pieces.offsets[1:])
    inputs = pad_units(encoded, units, ours)
    expected = plain(texts, padding=True, return_tensors="np")
    np.testing.assert_array_equal(inputs.input_ids, expected["input_ids"])
    np.testing.assert_array_equal(inputs.mask, expected["attention_mask"])


def test_the_mark_before_a_word_leaves_it_its_characters() -> None:
    """A word's mark that is a piece of its own is empty, at the beginning of a text as in its middle."""
    ours = TOKENIZERS["unigram"]
    encoded = ours.encode(["뷁 뷁"])
    tokens = ours.tokenizer.convert_ids_to_tokens(encoded.pieces.ids.tolist())
    spans = list(zip(tokens, encoded.pieces.begin.tolist(), encoded.pieces.end.tolist(), strict=True))
    assert [span for span in spans if span[1] < span[2]] == [("<unk>", 0, 1), ("<unk>", 2, 3)]
    assert encoded.eojeol_first.tolist() == [1, 3]


def test_decomposed_hangul_is_scored_by_syllable() -> None:
    """A decomposed text has as many scored characters as the composed one, and their ends are those of syllables."""
    ours = TOKENIZERS["unigram"]
    composed = "서울시는 3월"
    text = unicodedata.normalize("NFD", composed)
    encoded = ours.encode([text])
    units = Units(np.array([0]), encoded.pieces.offsets[:-1], encoded.pieces.offsets[1:])
    chars = index_chars(encoded, units, len(ours.prefix))
    assert len(chars.char) == len(composed.replace(" ", ""))
    ends = encoded.end_of_char(chars.char + 1)
    syllables = [text[begin:end] for begin, end in zip(chars.char.tolist(), ends.tolist(), strict=True)]
    assert unicodedata.normalize("NFC", "".join(syllables)) == composed.replace(" ", "")


@pytest.mark.parametrize("kind", KINDS)
@given(texts=TEXTS.filter(bool))
@example(texts=list(ODD))
@settings(max_examples=40, deadline=None)
def test_scored_characters_lie_in_their_tokens(kind: str, texts: list[str]) -> None:
    """Each scored character is no white space, once, at the token of its piece, with its place in the piece."""
    ours = TOKENIZERS[kind]
    encoded = ours.encode(texts)
    pieces = encoded.pieces
    units = Units(np.arange(len(texts)), pieces.offsets[:-1], pieces.offsets[1:])
    chars = index_chars(encoded, units, len(ours.prefix))
    assert not encoded.chars.is_space[chars.char].any()
    assert (np.diff(chars.char) > 0).all()
    piece = chars.token - len(ours.prefix) + units.begin[chars.unit]
    np.testing.assert_array_equal(piece, pieces.piece_of_char[chars.char])
    assert (chars.nth >= 0).all()
    assert (chars.nth <= chars.char - pieces.begin[piece]).all()
    solid = np.flatnonzero(~encoded.chars.is_space)
    tokens = tokens_of_chars(encoded, units, encoded.chars.text_of_char[solid], solid, len(ours.prefix))
    assert (tokens >= 0).all()
    widths = pieces.lengths + ours.n_special
    assert (tokens < widths[encoded.chars.text_of_char[solid]]).all()
    where = index_eojeols(encoded, np.arange(len(texts)), len(ours.prefix))
    assert where.n_eojeols.tolist() == [len(text.split()) for text in texts]
    assert (where.first <= where.last).all()
    assert (where.last < widths[:, None]).all()


def test_a_slow_tokenizer_is_refused() -> None:
    """A tokenizer that knows no offsets is refused with the remedy."""

    class Slow:
        is_fast = False

    with pytest.raises(
        ValueError, match=r"must be a fast one .*, got Slow\. Save the checkpoint with a tokenizer.json"
    ):
        TextTokenizer(Slow())


def test_a_tokenizer_without_pieces_is_refused() -> None:
    """A vocabulary that gives nothing for plain text is refused."""
    empty = wrap(Tokenizer(models.BPE({"x": 0, "y": 1}, [])))
    with pytest.raises(ValueError, match="must give pieces for any text, got none for '가 a'"):
        TextTokenizer(empty)


def test_bert_from_a_vocabulary_file_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tokenizer class of BERT, built from a vocab.txt alone, gives the same spans."""
    vocabulary = [*SPECIAL, "서울", "##시", "##는", "좋다", "."]
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    ours = TextTokenizer(BertTokenizer.from_pretrained(folder, do_lower_case=False))
    encoded = ours.encode(["서울시는 좋다."])
    assert list(zip(encoded.pieces.begin.tolist(), encoded.pieces.end.tolist(), strict=True)) == [
        (0, 2), (2, 3), (3, 4), (5, 7), (7, 8),
    ]  # fmt: skip
