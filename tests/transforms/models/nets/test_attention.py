"""Attention by matrix products: what torch's own gives, and the same bits in any company."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from klue_beam.transforms.models.nets import attention
from klue_beam.transforms.models.nets.attention import attend, bar_keys
from klue_beam.transforms.models.nets.linear import can_pack

N_HEADS, SIZE = 3, 16


def make_batch(seed: int, lengths: list[int], padding: int) -> tuple[Tensor, Tensor]:
    """Queries, keys and values of padded sequences, and which keys are there. Shapes: (3, B, N, L, D), (B, 1, 1, L)."""
    torch.manual_seed(seed)
    width = max(lengths) + padding
    states = torch.randn(len(lengths), width, 3, N_HEADS, SIZE).permute(2, 0, 3, 1, 4)
    return states, torch.arange(width)[None, None, None] < torch.tensor(lengths)[:, None, None, None]


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), lengths, st.integers(0, 5), st.integers(1, 3000))
def test_it_gives_what_torch_gives(seed: int, lengths: list[int], padding: int, block: int) -> None:
    """In any block size: in fp32 up to rounding, in bf16 up to its rounding."""
    (query, key, value), mask = make_batch(seed, lengths, padding)
    expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_BLOCK_SCORES", block)
        for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
            found = attend(query, key, value, bar_keys(mask, query.shape[2]), dtype)
            torch.testing.assert_close(found, expected, atol=bound, rtol=bound)
    torch.testing.assert_close(
        attend(query, key, value, None, torch.float32), functional.scaled_dot_product_attention(query, key, value)
    )


def test_large_scores_are_not_rounded_to_bf16() -> None:
    """Of two keys of scores 16 and 16.05 bf16, whose steps there are an eighth, would tell no difference."""
    query, key = torch.ones(1, 1, 1, SIZE), torch.full((1, 1, 2, SIZE), 4.0)
    key[0, 0, 1] += 0.0125
    value = torch.eye(2).view(1, 1, 2, 2)
    found = attend(query, key, value, None, torch.bfloat16)
    expected = functional.scaled_dot_product_attention(query, key, value)
    assert expected[0, 0, 0, 1] > 0.512
    torch.testing.assert_close(found, expected, atol=2**-9, rtol=0)


@pytest.mark.skipif(not can_pack("bf16"), reason="this processor has no products in bf16")
@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), lengths, st.integers(0, 5))
def test_a_sequence_gets_the_same_bits_alone_and_in_a_batch(seed: int, lengths: list[int], padding: int) -> None:
    (query, key, value), mask = make_batch(seed, lengths, padding)
    together = attend(query, key, value, bar_keys(mask, query.shape[2]), torch.bfloat16)
    for i, length in enumerate(lengths):
        own = [x[i : i + 1, :, :length] for x in (query, key, value)]
        assert torch.equal(attend(*own, None, torch.bfloat16)[0], together[i, :, :length])
