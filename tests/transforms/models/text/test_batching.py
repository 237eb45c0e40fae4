"""Windows over long texts, and batches within a token budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, RobertaConfig

from klue_beam.transforms.models.nets.encoders import build_encoder
from klue_beam.transforms.models.text.batching import batch_by_length, count_max_pieces, cut_windows
from klue_beam.transforms.models.text.pieces import TextTokenizer
from tests.tiny_models import tiny_tokenizer

TOKENIZER = TextTokenizer(tiny_tokenizer())


@given(
    texts=st.lists(st.text(st.sampled_from("가나다 라마.\0"), max_size=120), max_size=5),
    max_pieces=st.integers(1, 40),
)
@settings(deadline=None)
def test_windows_cover_and_cores_partition(texts: list[str], max_pieces: int) -> None:
    """Units fit the model, cover every piece of their text, and their cores partition its code points."""
    encoded = TOKENIZER.encode(texts)
    windows = cut_windows(encoded, max_pieces)
    units = windows.units
    assert (units.end - units.begin <= max_pieces).all()
    for i in range(len(texts)):
        mine = np.flatnonzero(units.text == i)
        low, high = encoded.pieces.offsets[i : i + 2]
        assert units.begin[mine[0]] == low
        assert units.end[mine[-1]] == high
        assert (units.begin[mine[1:]] <= units.end[mine[:-1]]).all()
        edges = [*windows.core_begin[mine].tolist(), int(windows.core_end[mine[-1]])]
        assert edges[0] == encoded.chars.offsets[i]
        assert edges[-1] == encoded.chars.offsets[i + 1]
        assert edges == sorted(edges)
        assert windows.core_end[mine[:-1]].tolist() == edges[1:-1]
        assert windows.is_window[mine].tolist() == [len(mine) > 1] * len(mine)
        assert windows.texts_in_windows(len(texts))[i] == (encoded.pieces.lengths[i] > max_pieces)


def test_the_core_of_a_window_lies_inside_it() -> None:
    """The pieces that a window decides on have neighbours on both sides in it, half of what windows share."""
    encoded = TOKENIZER.encode(["가나다라 " * 100])
    windows = cut_windows(encoded, 64)
    for unit in range(1, len(windows.units)):
        first = encoded.pieces.begin[windows.units.begin[unit] + 16]
        assert windows.core_begin[unit] == first


@given(lengths=st.lists(st.integers(1, 60), max_size=40), budget=st.integers(1, 200))
def test_packing_covers_all_within_the_budget(lengths: list[int], budget: int) -> None:
    """Each unit is in one batch; a batch, padded, holds no more than the budget unless it is a single unit."""
    batches = batch_by_length(np.array(lengths, dtype=np.int64), budget)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    flat = [lengths[i] for batch in batches for i in batch.tolist()]
    assert flat == sorted(flat)


def test_roberta_counts_positions_from_behind_padding() -> None:
    """RoBERTa's first positions are padding's; BERT's are all there for tokens."""
    sizes = ("hidden_size", "intermediate_size", "vocab_size")
    options = {"num_hidden_layers": 1, "num_attention_heads": 1, **dict.fromkeys(sizes, 9)}
    bert = build_encoder(BertConfig(max_position_embeddings=32, **options))
    roberta = build_encoder(RobertaConfig(max_position_embeddings=34, pad_token_id=1, **options))
    assert count_max_pieces(bert, TOKENIZER) == 32 - 2
    assert count_max_pieces(roberta, TOKENIZER) == 34 - 2 - 2
    with pytest.raises(ValueError, match="positions for more than the 2 special tokens, got 2"):
        count_max_pieces(build_encoder(BertConfig(max_position_embeddings=2, **options)), TOKENIZER)


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=9), budget=st.integers(1, 40), cost=st.integers(0, 20))
def test_no_other_packing_costs_less(lengths: list[int], budget: int, cost: int) -> None:
    """Of all cuts of the sorted units into batches within the budget, it is one of the cheapest."""
    ordered = sorted(lengths)

    def price(sizes: list[list[int]]) -> float:
        return sum(len(batch) * max(batch) + cost for batch in sizes)

    def cuts(rest: list[int]) -> list[list[list[int]]]:
        if not rest:
            return [[]]
        heads = [n for n in range(1, len(rest) + 1) if n == 1 or n * rest[n - 1] <= budget]
        return [[rest[:n], *others] for n in heads for others in cuts(rest[n:])]

    batched = [[lengths[i] for i in batch.tolist()] for batch in batch_by_length(np.array(lengths), budget, cost)]
    assert price(batched) == min(price(sizes) for sizes in cuts(ordered))


def test_padding_is_a_small_share() -> None:
    """Sentences of many lengths, as many as a chunk has, are laid out with less than 3 % of padding."""
    lengths = np.random.default_rng(1).gamma(2.5, 16, 800).astype(np.int64) + 3
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batch_by_length(lengths, 4096))
    assert lengths.sum() > 0.97 * padded
