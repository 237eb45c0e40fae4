"""What makes a training step cheaper on a processor and changes nothing that it learns.

Two things took half of a step. The backward pass of torch's fused attention is several times slower than that of plain
products. And dropout drew a random number for each of its elements, of which attention has many: here a pool of random
marks is drawn once, and each call takes a stretch of it that begins anywhere.
"""

import functools
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from transforms.models.attention import can_attend_by_products
from transforms.models.heads import PairLayer

IMPLEMENTATION: Final = "klue_beam_training"
POOL_SIZE: Final = 1 << 24
"""Marks in a pool; a tensor with more elements gets marks of its own."""

_POOLS: Final[dict[tuple[float, torch.dtype, int], Tensor]] = {}


def _pool(rate: float, dtype: torch.dtype, size: int) -> Tensor:
    """Give the pool of a rate: zeros, and else what keeps the mean. The same each time. Shape: (size,)."""
    key = (rate, dtype, size)
    if key not in _POOLS:
        drawn = torch.rand(size, generator=torch.Generator().manual_seed(size))
        _POOLS[key] = ((drawn >= rate).float() / (1 - rate)).to(dtype)
    return _POOLS[key]


def drop(x: Tensor, rate: float, size: int = POOL_SIZE) -> Tensor:
    """Drop elements at a rate, as `functional.dropout` does in training.

    Args:
      x: on a CPU the marks come out of a pool, elsewhere torch draws them.
      rate: share that becomes zero; the others grow, so that the mean stays.
      size: of the pool.
    """
    if not rate:
        return x
    n = x.numel()
    if x.device.type != "cpu" or n >= size:
        return functional.dropout(x, rate, training=True)
    begin = int(torch.randint(size - n, (1,)))
    return x * _pool(rate, x.dtype, size)[begin : begin + n].view(x.shape)


class PooledDropout(nn.Module):
    """Dropout by `drop`.

    Args:
      rate: share of the elements that become zero in training; `p` as torch's layer calls it.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.p = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training; give x else."""
        return drop(x, self.p) if self.training else x


def attend(query: Tensor, key: Tensor, value: Tensor, barred: Tensor | None, scaling: float, rate: float) -> Tensor:
    """Attend by plain products, weights dropped at a rate.

    Args:
      query: Shape: (B, N, Q, D).
      key, value: Shape: (B, N, L, D).
      barred: what is added to the scores; None for nothing. Shape: (B, 1, 1 or Q, L).
      scaling: of the scores.
      rate: of dropout.

    Returns:
      Shape: (B, N, Q, D).
    """
    scores = query @ key.transpose(-1, -2) * scaling
    if barred is not None:
        scores = scores + barred
    return drop(torch.softmax(scores, -1).to(value.dtype), rate) @ value


def _attend_for_transformers(
    module: nn.Module,  # noqa: ARG001 - the call of transformers
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query, key, value, attention_mask, scaling, dropout).transpose(1, 2).contiguous(), None


def _attend_pairs(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, layer: PairLayer) -> Tensor:
    barred = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -torch.inf)
    rate = layer.rate if layer.training else 0.0
    return attend(query, key, value, barred, query.shape[-1] ** -0.5, rate)


def train_fast(model: nn.Module) -> None:
    """Let what is below a module attend by products, and drop by a pool.

    Args:
      model: a multi-task model, or an encoder. What an encoder of another make has of its own stays.
    """
    for module in list(model.modules()):
        for name, inner in list(module.named_children()):
            if type(inner) is nn.Dropout:
                setattr(module, name, PooledDropout(inner.p))
        if isinstance(module, PairLayer):
            module.attend = functools.partial(_attend_pairs, layer=module)
    encoder: Any = getattr(model, "encoder", model)
    if can_attend_by_products(encoder):
        AttentionInterface.register(IMPLEMENTATION, _attend_for_transformers)
        AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
        encoder.set_attn_implementation(IMPLEMENTATION)
