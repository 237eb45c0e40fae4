"""Attention as two matrix products, whose result for a sequence does not depend on what it is batched with."""

import functools
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from klue_beam.transforms.models.nets.layers import PairLayer

IMPLEMENTATIONS: Final = {torch.float32: "klue_beam_products_fp32", torch.bfloat16: "klue_beam_products_bf16"}
"""What transformers calls it, by the type of the product with the values."""

_BLOCK_SCORES: Final = 1 << 19
"""Scores of so many pairs of tokens are held at a time: 2 MB in fp32, which stays in a core's cache."""

BERT_LIKE: Final = ("bert", "roberta", "xlm-roberta", "camembert", "electra")
"""Kinds of encoders whose layers have BERT's parts and names, and whose positions have an embedding."""


_LEAST_KEYS: Final = 16
"""torch's softmax over fewer takes several times as long, and goes another way."""


def attend(query: Tensor, key: Tensor, value: Tensor, barred: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Attend by matrix products: scores and softmax in fp32, what they weigh in `dtype`.

    Rounded to bf16, scores alone were half of the error of an encoder in bf16: a score of 8 is off by up to 0.03 then,
    and the weight by as many hundredths. In fp32 this product, with few columns, takes no longer that can be measured.

    torch's fused attention computes the exponentials of the last few keys of a batch by another method than those
    before, so that a sequence's last bits depend on how far it is padded. Rounded to int8, they become whole steps. In
    a product each sum runs over the keys in their order, and a barred key adds a zero.

    Args:
      query: Shape: (B, N, Q, D).
      key, value: Shape: (B, N, L, D).
      barred: what `bar_keys` gives; None where all may be attended to. Shape: (B, 1, Q, L).
      dtype: of the weights and the values in their product.

    Returns:
      Shape: (B, N, Q, D), in the query's type.
    """
    if (short := _LEAST_KEYS - key.shape[2]) > 0:
        if barred is None:
            barred = query.new_zeros(len(query), 1, *query.shape[2:3], key.shape[2])
        barred = functional.pad(barred, (0, short), value=-torch.inf)
        key, value = (functional.pad(x, (0, 0, 0, short)) for x in (key, value))
    rows = max(1, _BLOCK_SCORES // (query.shape[1] * query.shape[2] * key.shape[2]))
    blocks = [slice(i, i + rows) for i in range(0, len(query), rows)]
    if len(blocks) < 2:
        return _attend(query, key, value, barred, dtype)
    return torch.cat(
        [
            _attend(query[block], key[block], value[block], None if barred is None else barred[block], dtype)
            for block in blocks
        ]
    )


def _attend(query: Tensor, key: Tensor, value: Tensor, barred: Tensor | None, dtype: torch.dtype) -> Tensor:
    scores = (query * query.shape[-1] ** -0.5) @ key.to(query.dtype).transpose(-1, -2)
    if barred is not None:
        scores += barred
    weights = torch.softmax(scores, -1).to(dtype)
    return (weights @ value.to(dtype)).to(query.dtype)


def bar_keys(mask: Tensor, n_queries: int) -> Tensor:
    """Give what bars keys when it is added to scores: -inf for them, else 0.

    Args:
      mask: True for a key that may be attended to. Shape: (B, 1, 1 or Q, L).
      n_queries: Q; the rows lie in memory one by one, since adding short rows to many others takes long.

    Returns:
      Shape: (B, 1, Q, L), fp32.
    """
    barred = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -torch.inf)
    return barred.expand(-1, -1, n_queries, -1).contiguous()


def can_attend_by_products(module: nn.Module) -> bool:
    """Tell whether a module is an encoder whose attention transformers lets be another."""
    return bool(getattr(module, "_supports_attention_backend", False))


def attend_by_products(module: nn.Module, dtype: torch.dtype) -> None:
    """Let what is below a module attend by products.

    Args:
      module: an encoder of transformers (one with attention of its own kind keeps it), or what holds PairLayers.
      dtype: as in `attend`, out of IMPLEMENTATIONS.
    """
    for inner in module.modules():
        if isinstance(inner, PairLayer):
            inner.attend = functools.partial(_attend_masked, dtype=dtype)
    if can_attend_by_products(module):
        name = IMPLEMENTATIONS[dtype]
        AttentionInterface.register(name, functools.partial(_attend_for_transformers, dtype=dtype))
        AttentionMaskInterface.register(name, _mask_for_transformers)
        encoder: Any = module
        encoder.set_attn_implementation(name)


def _attend_masked(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dtype: torch.dtype) -> Tensor:
    return attend(query, key, value, bar_keys(mask, query.shape[2]), dtype)


def _mask_for_transformers(*args: Any, **options: Any) -> Tensor | None:
    """Make the mask of all layers, once a batch."""
    mask = sdpa_mask(*args, **options)
    return None if mask is None else bar_keys(mask, mask.shape[2])


def _attend_for_transformers(
    module: nn.Module,  # noqa: ARG001 - the call of transformers
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dtype: torch.dtype,
    **_: Any,
) -> tuple[Tensor, None]:
    return attend(query, key, value, attention_mask, dtype).transpose(1, 2).contiguous(), None
