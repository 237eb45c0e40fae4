"""Starting from scratch: a tokenizer of the texts, an encoder for it with weights by the seed; what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.transforms.models.checkpoints.checkpoint import load_encoder
from klue_beam.transforms.models.text.batching import count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.training.scratch import (
    SPECIAL_TOKENS,
    build_random_encoder,
    start_from_scratch,
    train_tokenizer,
)
from tests.tiny_models import SENTENCES, tiny_tokenizer

SMALL: dict[str, Any] = {"layers": 2, "hidden_size": 24, "heads": 3, "max_positions": 64}


def test_the_encoder_fits_the_tokenizer(tmp_path: Path) -> None:
    """Sizes and special tokens agree; saved and loaded again, both do the same."""
    encoder, tokenizer = start_from_scratch(SENTENCES, vocab_size=200, **SMALL)
    special = tokenizer.tokenizer
    assert special.convert_ids_to_tokens(list(range(5))) == list(SPECIAL_TOKENS)
    assert (special.cls_token, special.sep_token, special.unk_token) == ("<s>", "</s>", "<unk>")
    assert (special.mask_token, special.model_max_length) == ("<mask>", 64)
    config = encoder.config
    assert config.vocab_size == len(special) <= 200
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (2, 24, 96)
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (1, 0, 2)
    assert count_max_pieces(encoder, tokenizer) == 62
    encoder.save_pretrained(tmp_path)
    special.save_pretrained(tmp_path)
    loaded, again = load_encoder(str(tmp_path))
    ids = torch.tensor([special(SENTENCES[0])["input_ids"]])
    assert again.tokenizer(SENTENCES[0])["input_ids"] == ids[0].tolist()
    with torch.no_grad():
        ours, theirs = (model.eval()(input_ids=ids).last_hidden_state for model in (encoder, loaded))
    assert torch.equal(ours, theirs)


def test_pieces_are_learnt_from_the_texts() -> None:
    """What is common becomes one piece; there is one for every character of the texts, none for another."""
    texts = [f"한강{ending} 갔다" for ending in ("에", "에서", "은", "을", "이", "과", "도")]
    tokenizer = train_tokenizer([*texts, *SENTENCES], vocab_size=300)
    assert "▁한강" in tokenizer.tokenizer.tokenize("한강까지")
    unknown = tokenizer.tokenizer.unk_token_id
    assert unknown not in tokenizer.encode(SENTENCES).pieces.ids
    assert unknown in tokenizer.encode(["뷁"]).pieces.ids


@given(st.lists(st.text(st.sampled_from("가나 \t\n\u3000ａ①\0é👍"), max_size=12), max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_texts_make_a_tokenizer_or_are_refused(texts: list[str]) -> None:
    """White space of any kind parts words as one space does; only texts of nothing else are refused."""
    if not "".join(texts).strip():
        with pytest.raises(ValueError, match=r"`texts` must hold at least one that is not blank"):
            train_tokenizer(texts, vocab_size=60)
        return
    tokenizer = train_tokenizer(texts, vocab_size=60)
    for text in texts:
        spaced = text.replace("\t", " ").replace("\n", "  ").replace("\u3000", " ")
        assert tokenizer.tokenizer.tokenize(text) == tokenizer.tokenizer.tokenize(spaced)


def test_weights_follow_from_the_seed() -> None:
    """The same seed gives the same weights, whatever the global state, which stays; another seed gives others."""
    tokenizer = TextTokenizer(tiny_tokenizer())
    torch.manual_seed(1)
    first = build_random_encoder(tokenizer, seed=5, **SMALL).state_dict()
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    second = build_random_encoder(tokenizer, seed=5, **SMALL).state_dict()
    other = build_random_encoder(tokenizer, seed=6, **SMALL).state_dict()
    name = "encoder.layer.0.attention.self.query.weight"
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first[name], other[name])


def test_a_vocabulary_just_large_enough_is_made() -> None:
    """The least size that is asked for in the refusal of a smaller one is taken."""
    texts = ["가나 다가"]  # ▁ 가 나 다
    tokenizer = train_tokenizer(texts, vocab_size=len(SPECIAL_TOKENS) + 4)
    assert sorted(tokenizer.tokenizer.get_vocab()) == sorted([*SPECIAL_TOKENS, *"▁가나다"])
    with pytest.raises(ValueError, match=r"`vocab_size` must have room for the characters .* 9 here, got 8\. Raise it"):
        train_tokenizer(texts, vocab_size=8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": 0}, r"`layers` must be at least 1, got 0\. Leave it out"),
        ({"heads": 0}, r"`heads` must be at least 1, got 0\. Leave it out"),
        ({"max_positions": 7}, r"`max_positions` must be at least 8, got 7\. Leave it out"),
        ({"hidden_size": 25}, r"`hidden_size` must be a multiple of `heads`, 3, got 25\. Change one"),
        ({"hidden_size": 0}, r"`hidden_size` must be a multiple of `heads`, 3, got 0\. Change one"),
    ],
)
def test_sizes_out_of_range_are_refused(wrong: dict[str, int], message: str) -> None:
    """Each with the rule, the value and the remedy, before any tokenizer is trained."""
    with pytest.raises(ValueError, match=message):
        start_from_scratch([], **{**SMALL, **wrong})
    with pytest.raises(ValueError, match=message):
        build_random_encoder(TextTokenizer(tiny_tokenizer()), **{**SMALL, **wrong})
