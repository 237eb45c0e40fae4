"""Cut vocabularies: on the given texts nothing changes, for every kind of tokenizer; what is kept; what is refused."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    ElectraConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from klue_beam.transforms.models.checkpoints.checkpoint import load_encoder
from klue_beam.transforms.models.nets.encoders import build_encoder
from klue_beam.transforms.models.text.batching import count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer, Units, pad_units
from klue_beam.transforms.training.vocabulary import cut_vocabulary
from tests.tiny_models import SENTENCES, tiny_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
ODD = "㈜한빛 ½ 컵, 👍🏽 뷁 漢字\t\0 é"
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def wrap(backend: Tokenizer, **options: Any) -> PreTrainedTokenizerFast:
    """Give a backend the names of its special tokens, and have it put them around texts."""
    if backend.post_processor is None:
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            special_tokens=[(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
        )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names, **options)


def commonest_parts(longest: int = 5) -> list[str]:
    """List parts of the words of SENTENCES, each with a mark before it: single characters first, then by count."""
    words = [f"▁{word}" for sentence in SENTENCES for word in sentence.split()]
    counts = Counter(w[i : i + n] for w in words for n in range(1, longest + 1) for i in range(len(w) - n + 1))
    return sorted(counts, key=lambda part: (len(part) > 1, -counts[part], part))[:500]


def unigram_bytes() -> PreTrainedTokenizerFast:
    """Unknown characters become bytes; the special tokens stand behind all pieces."""
    scored = [(part, -2.0 - rank / 50) for rank, part in enumerate(commonest_parts(3))]
    vocab = [*((byte, -20.0) for byte in BYTES), *scored, *((token, 0.0) for token in SPECIAL)]
    unk_id = len(vocab) - len(SPECIAL) + SPECIAL.index("[UNK]")
    backend = Tokenizer(models.Unigram(vocab, unk_id=unk_id, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return wrap(backend)


def wordpiece() -> PreTrainedTokenizerFast:
    """BERT's, with its own kind of post-processor within another, and markers outside the model's vocabulary."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL))
    ends = [(token, backend.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    backend.post_processor = processors.Sequence([processors.BertProcessing(*ends)])
    return wrap(backend, extra_special_tokens=["<subj>", "</subj>"])


def byte_level() -> PreTrainedTokenizerFast:
    """RoBERTa's."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet)
    backend.train_from_iterator(SENTENCES, trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    backend.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    return wrap(backend)


def whole_words_first() -> PreTrainedTokenizerFast:
    """A byte-level one that takes a word of its vocabulary as it is, merged or not."""
    vocab = {piece: number for number, piece in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    merges = []
    for word in ("가나", "가", "마바사"):
        (spelt,) = (piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(word))
        vocab.setdefault(spelt, len(vocab))
        vocab.setdefault(spelt[:2], len(vocab))
        merges.append((spelt[0], spelt[1]))
    backend = Tokenizer(models.BPE(vocab, list(dict.fromkeys(merges)), ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return wrap(backend)


def affixes() -> PreTrainedTokenizerFast:
    """BPE whose pieces inside and at the end of a word are marked."""
    marks = {"continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}
    backend = Tokenizer(models.BPE(unk_token="[UNK]", **marks))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = [*SENTENCES, *SENTENCES]
    backend.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, **marks))
    return wrap(backend)


def many_ways() -> PreTrainedTokenizerFast:
    """BPE as SentencePiece's is converted: a merge for every way to put a piece together, bytes for the unknown."""
    parts = commonest_parts()
    vocab = {piece: number for number, piece in enumerate([*SPECIAL, *BYTES, *parts])}
    merges = [(part[:i], part[i:]) for part in parts for i in range(1, len(part))]
    merges = [(left, right) for left, right in merges if left in vocab and right in vocab]
    backend = Tokenizer(models.BPE(vocab, merges, unk_token="[UNK]", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return wrap(backend)


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "unigram": tiny_tokenizer,
    "unigram_bytes": unigram_bytes,
    "wordpiece": wordpiece,
    "byte_level": byte_level,
    "whole_words_first": whole_words_first,
    "affixes": affixes,
    "many_ways": many_ways,
}


@functools.cache
def make_tokenizer(kind: str) -> TextTokenizer:
    return TextTokenizer(KINDS[kind]())


def make_encoder(tokenizer: TextTokenizer, config_class: Any = BertConfig, **options: Any) -> Any:
    torch.manual_seed(3)
    config = config_class(
        **SIZES,
        vocab_size=len(tokenizer.tokenizer),
        pad_token_id=tokenizer.pad_id,
        bos_token_id=tokenizer.tokenizer.cls_token_id,
        eos_token_id=tokenizer.tokenizer.sep_token_id,
        max_position_embeddings=options.pop("max_position_embeddings", 256),
        initializer_range=0.5,
        **options,
    )
    return build_encoder(config).eval()


@functools.cache
def make_pair(kind: str) -> tuple[TextTokenizer, Any]:
    return make_tokenizer(kind), make_encoder(make_tokenizer(kind))


def segment(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[tuple[list[str], list[tuple[int, int]]]]:
    """Give pieces and spans of texts, special tokens included."""
    encodings = tokenizer.tokenizer.backend_tokenizer.encode_batch(list(texts))
    return [(encoding.tokens, encoding.offsets) for encoding in encodings]


def states(encoder: Any, tokenizer: TextTokenizer, texts: Sequence[str]) -> torch.Tensor:
    """Run an encoder over padded texts, and give the states of what is no padding."""
    encoded = tokenizer.encode(texts)
    offsets = encoded.pieces.offsets
    inputs = pad_units(encoded, Units(torch.arange(len(texts)).numpy(), offsets[:-1], offsets[1:]), tokenizer)
    ids, mask = torch.from_numpy(inputs.input_ids), torch.from_numpy(inputs.mask)
    with torch.no_grad():
        return encoder(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]


def vocab_of(tokenizer: TextTokenizer) -> dict[str, int]:
    return tokenizer.tokenizer.get_vocab()


PARTS = st.one_of(
    st.sampled_from([word for sentence in SENTENCES for word in sentence.split()]),
    st.text(st.sampled_from("가나다서울시는 .,\t\0뷁漢é👍🏽abAB▁#<>"), max_size=8),
    st.sampled_from(["[UNK]", "[SEP]", "<s>", "<subj>", "가나", "마바사", "서울특별시에서는"]),
)
TEXTS = st.lists(st.lists(PARTS, max_size=5).map(" ".join), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=TEXTS, keep_single=st.booleans())
@example(texts=[*SENTENCES, ODD], keep_single=True)
@example(texts=[SENTENCES[1], ODD, "가나 마바사"], keep_single=False)
@settings(max_examples=25, deadline=None)
def test_texts_are_segmented_as_before(kind: str, texts: list[str], keep_single: bool) -> None:
    """Pieces and spans of the texts are the same; every piece's row of the embedding is its old one."""
    whole, encoder = make_pair(kind)
    used = {piece for pieces, _ in segment(whole, texts) for piece in pieces}
    if used <= set(whole.tokenizer.added_tokens_encoder):
        with pytest.raises(ValueError, match=r"`texts` must use some piece, special tokens aside, at least 1 times"):
            cut_vocabulary(encoder, whole, texts)
        return
    cut_encoder, cut = cut_vocabulary(encoder, whole, texts, keep_single=keep_single)
    assert segment(cut, texts) == segment(whole, texts)
    old, new = vocab_of(whole), vocab_of(cut)
    assert sorted(new.values()) == list(range(len(new)))
    rows = cut_encoder.get_input_embeddings().weight
    assert rows.shape == (len(new), SIZES["hidden_size"])
    for piece, number in new.items():
        assert torch.equal(rows[number], encoder.get_input_embeddings().weight[old[piece]])


ENCODERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "bert": (BertConfig, {}),
    "roberta": (RobertaConfig, {}),
    "electra": (ElectraConfig, {"embedding_size": 12}),
    "deberta": (DebertaV2Config, {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
}


@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "byte_level", "many_ways", "unigram_bytes"])
def test_states_are_as_before_and_after_saving(kind: str, family: str, tmp_path: Path) -> None:
    """An encoder of any family gives the same states of the texts; saved and loaded again, too."""
    whole = make_tokenizer(kind)
    config_class, options = ENCODERS[family]
    # RoBERTa has no position for a text behind a padding token of a high id, so this one has room for it.
    encoder = make_encoder(whole, config_class, max_position_embeddings=1200, **options)
    texts = [SENTENCES[0], ODD, SENTENCES[3][:9]]
    cut_encoder, cut = cut_vocabulary(encoder, whole, texts, keep_single=False)
    expected = states(encoder, whole, texts)
    torch.testing.assert_close(states(cut_encoder, cut, texts), expected, atol=1e-6, rtol=0)
    assert count_max_pieces(cut_encoder, cut) == count_max_pieces(encoder, whole)
    cut_encoder.save_pretrained(tmp_path)
    cut.tokenizer.save_pretrained(tmp_path)
    loaded, tokenizer = load_encoder(str(tmp_path))
    assert vocab_of(tokenizer) == vocab_of(cut)
    assert segment(tokenizer, texts) == segment(whole, texts)
    torch.testing.assert_close(states(loaded.eval(), tokenizer, texts), expected, atol=1e-6, rtol=0)


def test_what_was_given_stays_as_it_was() -> None:
    """The whole encoder and tokenizer are not touched, and share no weight with what was cut."""
    whole = make_tokenizer("wordpiece")
    encoder = make_encoder(whole)
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    config, layout = encoder.config.to_dict(), whole.tokenizer.backend_tokenizer.to_str()
    cut_encoder, _ = cut_vocabulary(encoder, whole, SENTENCES[:1])
    with torch.no_grad():
        for weight in cut_encoder.parameters():
            weight.zero_()
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())
    assert encoder.config.to_dict() == config
    assert whole.tokenizer.backend_tokenizer.to_str() == layout


def test_ids_follow_their_pieces() -> None:
    """Special tokens behind the pieces move down; configuration, padding and post-processor name them still."""
    whole = make_tokenizer("unigram_bytes")
    encoder = make_encoder(whole, sep_token_id=[whole.tokenizer.sep_token_id, 99_999], decoder_start_token_id=99_999)
    encoder.config.mask_token_id = whole.tokenizer.mask_token_id
    cut_encoder, cut = cut_vocabulary(encoder, whole, ["서울"])
    config, tokenizer = cut_encoder.config, cut.tokenizer
    assert tokenizer.pad_token_id < whole.pad_id
    assert cut.pad_id == tokenizer.pad_token_id == config.pad_token_id
    assert cut_encoder.get_input_embeddings().padding_idx == config.pad_token_id
    assert (config.bos_token_id, config.eos_token_id) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert (config.mask_token_id, config.sep_token_id) == (tokenizer.mask_token_id, [tokenizer.sep_token_id])
    assert config.decoder_start_token_id is None  # it named no piece
    assert config.vocab_size == len(tokenizer) < len(whole.tokenizer)
    assert (cut.prefix.tolist(), cut.suffix.tolist()) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    assert tokenizer.special_tokens_map == whole.tokenizer.special_tokens_map


def test_what_is_kept() -> None:
    """Used pieces, special tokens and single characters, in their old order; with fewer on request."""
    pieces = [*SPECIAL, "가", "나", "##나", "##다", "가나", "가나다", "a"]
    backend = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    whole = TextTokenizer(wrap(backend, extra_special_tokens=["<e>"], model_max_length=77))
    encoder = make_encoder(whole)

    def kept(texts: Sequence[str], **options: Any) -> list[str]:
        _, cut = cut_vocabulary(encoder, whole, texts, **options)
        assert cut.tokenizer.model_max_length == 77
        assert cut.tokenizer.extra_special_tokens == ["<e>"]
        return sorted(set(vocab_of(cut)) - {*SPECIAL, "<e>"}, key=vocab_of(cut).__getitem__)

    texts = iter(["가나 가나", "가나다 나"])  # gone through once
    assert kept(texts) == ["가", "나", "##나", "##다", "가나", "가나다", "a"]
    assert kept(["가나 가나 나"]) == ["가", "나", "##나", "##다", "가나", "a"]
    assert kept(["가나 가나", "가나다 나"], keep_single=False) == ["나", "가나", "가나다"]
    assert kept(["가나 가나", "가나다 나"], keep_single=False, min_count=2) == ["가나"]
    assert kept(["가나 가나", "가나다 나"], min_count=2) == ["가", "나", "##나", "##다", "가나", "a"]


@pytest.mark.parametrize("kind", ["unigram_bytes", "byte_level", "many_ways"])
def test_all_bytes_are_kept(kind: str) -> None:
    """A tokenizer that falls back to bytes, or is made of them, still has pieces for any text."""
    whole = make_tokenizer(kind)
    _, cut = cut_vocabulary(make_encoder(whole), whole, ["서울"], keep_single=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet() if kind == "byte_level" else BYTES
    assert set(alphabet) <= set(vocab_of(cut))
    assert len(vocab_of(cut)) < 256 + 40
    (pieces, spans), _ = segment(cut, ["뷁 👍🏽", ""])
    assert "[UNK]" not in pieces
    assert max(end for _, end in spans) == len("뷁 👍🏽")


def test_an_unknown_character_costs_what_it_did() -> None:
    """Unigram's score of an unknown character hangs on the lowest score, which no text here uses."""
    scores = {"q": -40.0, "x": -30.0, "xa": -12.0, "yz": -12.0, "ayz": -1.0}
    backend = Tokenizer(models.Unigram([*((token, 0.0) for token in SPECIAL), *scores.items()], unk_id=1))
    whole = TextTokenizer(wrap(backend))
    texts = ["xayz", "ayz"]
    _, cut = cut_vocabulary(make_encoder(whole), whole, texts, keep_single=False)
    assert "x" not in vocab_of(cut)
    assert segment(cut, texts) == segment(whole, texts)
    assert segment(cut, texts)[0][0] == ["[CLS]", "xa", "yz", "[SEP]"]


def test_a_word_that_was_unknown_stays_so() -> None:
    """Without "가나", which no word shows, shorter pieces would lead through a word that WordPiece gives up."""
    pieces = [*SPECIAL, "가", "라", "가나", "##나", "##나다"]
    backend = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    whole = TextTokenizer(wrap(backend))
    texts = ["가나다", "가 라나다"]
    _, cut = cut_vocabulary(make_encoder(whole), whole, texts)
    assert segment(cut, texts) == segment(whole, texts)
    assert segment(cut, texts)[0][0] == ["[CLS]", "[UNK]", "[SEP]"]
    assert segment(cut, texts)[1][0] == ["[CLS]", "가", "라", "##나다", "[SEP]"]


def test_a_tokenizer_of_a_class_of_its_own_is_cut(tmp_path: Path) -> None:
    """BERT's own tokenizer class comes out as one that loads its file as it is."""
    vocab = {piece: n for n, piece in enumerate([*SPECIAL, "서", "울", "##울", "서울", "부산"])}
    whole = TextTokenizer(BertTokenizer(vocab=vocab, do_lower_case=False))
    encoder = make_encoder(whole)
    cut_encoder, cut = cut_vocabulary(encoder, whole, ["서울"])
    assert "부산" not in vocab_of(cut)
    cut_encoder.save_pretrained(tmp_path)
    cut.tokenizer.save_pretrained(tmp_path)
    loaded, tokenizer = load_encoder(str(tmp_path))
    assert segment(tokenizer, ["서울"]) == segment(whole, ["서울"])
    torch.testing.assert_close(
        states(loaded.eval(), tokenizer, ["서울"]), states(encoder, whole, ["서울"]), atol=1e-6, rtol=0
    )


def test_what_is_refused() -> None:
    """Another kind of vocabulary, no texts, a count of none, an encoder of another tokenizer: each with the remedy."""
    whole = make_tokenizer("unigram")
    encoder = make_encoder(whole)
    with pytest.raises(ValueError, match=r"`min_count` must be at least 1, got 0\. Leave it out"):
        cut_vocabulary(encoder, whole, SENTENCES, min_count=0)
    cases: list[tuple[Sequence[str], int]] = [([], 1), (["", ""], 1), (["<s></s>"], 1), (SENTENCES, 1000)]
    for texts, count in cases:
        message = rf"use some piece, .* at least {count} times .*, got '{len(texts)} texts without one'\. Give more"
        with pytest.raises(ValueError, match=message):
            cut_vocabulary(encoder, whole, texts, min_count=count)
    small = AutoModel.from_config(BertConfig(**SIZES, vocab_size=20))
    with pytest.raises(
        ValueError, match=r"a row for each piece .*highest id \d+\), got '20 rows'\. Give the tokenizer"
    ):
        cut_vocabulary(small, whole, SENTENCES)
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*SPECIAL, "가"])}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(
        ValueError, match=r"must be of Unigram, WordPiece, BPE, got 'WordLevel'\. Train with the whole vocabulary"
    ):
        cut_vocabulary(encoder, TextTokenizer(wrap(words)), SENTENCES)
