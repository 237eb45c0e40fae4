"""Encoders whose sequences lie end to end, without padding: what a GPU runs in bf16."""

from collections.abc import Sequence
from typing import Any, Final, overload

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface
from transformers.modeling_outputs import BaseModelOutputWithPooling

from klue_beam.transforms.models.nets.attention import BERT_LIKE, can_attend_by_products

IMPLEMENTATION: Final = "klue_beam_unpadded"
"""What transformers calls attention over sequences that lie end to end."""

_HEAD_SIZE_STEP: Final = 8
"""What the kernel asks the size of a head to be a multiple of."""

_MOST_HEAD_SIZE: Final = 256

_LEAST_CAPABILITY: Final = (8, 0)
"""Of a GPU that has the kernels: Ampere's and later ones."""


def can_run_unpadded(encoder: Any) -> bool:
    """Tell whether UnpaddedEncoder can take a module: an encoder of BERT's kind; and a GPU, if any, has the kernels."""
    config = getattr(encoder, "config", None)
    if config is None or (torch.cuda.is_available() and torch.cuda.get_device_capability() < _LEAST_CAPABILITY):
        return False
    if config.model_type not in BERT_LIKE or not can_attend_by_products(encoder):
        return False
    size = config.hidden_size // config.num_attention_heads
    return size % _HEAD_SIZE_STEP == 0 and size <= _MOST_HEAD_SIZE


class UnpaddedEncoder(nn.Module):
    """An encoder of BERT's kind, with its interface, that lays the sequences of a batch end to end.

    So padding takes no time in its layers, and attention goes over the tokens of each sequence alone: on a GPU by the
    kernels of FlashAttention, Dao, 2023, "FlashAttention-2", https://arxiv.org/abs/2307.08691

    Args:
      encoder: one that `can_run_unpadded` takes; its attention is replaced, its pooler is run by this module. On a GPU
        queries, keys and values must come out of its layers in bf16, as the kernels want them.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.config = encoder.config
        self.pooler, encoder.pooler = getattr(encoder, "pooler", None), None
        padding = encoder.embeddings.position_embeddings.padding_idx
        # RoBERTa and its kin count positions from behind that of padding.
        self.first_position = 0 if padding is None else padding + 1
        AttentionInterface.register(IMPLEMENTATION, _attend_for_transformers)
        encoder.set_attn_implementation(IMPLEMENTATION)
        self.encoder: Any = encoder

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False, **_: Any
    ) -> BaseModelOutputWithPooling:
        """Run the encoder.

        Args:
          input_ids, attention_mask: padded at the end. Shape: (B, L).
          output_hidden_states: whether to give the states below each layer, too.

        Returns:
          As the encoder itself; states of padding are zeros. Shape of states: (B, L, H).
        """
        shape = attention_mask.shape
        ends = attention_mask.sum(1).cumsum(0)
        where = attention_mask.flatten().nonzero().squeeze(1)
        output = self.encoder(
            input_ids=input_ids.flatten()[where].unsqueeze(0),
            position_ids=(where % shape[1] + self.first_position).unsqueeze(0),
            output_hidden_states=output_hidden_states,
            cu_seq_lens_q=functional.pad(ends, (1, 0)).to(torch.int32),
            max_length_q=shape[1],
        )
        last = _pad(output.last_hidden_state, where, shape)
        return BaseModelOutputWithPooling(
            last_hidden_state=last,
            pooler_output=self.pooler(last) if self.pooler is not None else None,
            hidden_states=_PaddedStates(output.hidden_states, where, shape) if output_hidden_states else None,
        )


class _PaddedStates(Sequence[Tensor]):
    """The states below each layer, laid out by sequence where they are read: of all but one nobody asks."""

    def __init__(self, states: Sequence[Tensor], where: Tensor, shape: Sequence[int]) -> None:
        self._states, self._where, self._shape = states, where, shape

    def __len__(self) -> int:
        return len(self._states)

    @overload
    def __getitem__(self, place: int) -> Tensor: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, place: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(place, slice):
            return _PaddedStates(self._states[place], self._where, self._shape)
        return _pad(self._states[place], self._where, self._shape)


def _pad(states: Tensor, where: Tensor, shape: Sequence[int]) -> Tensor:
    """Lay states out by sequence.

    Args:
      states: Shape: (1, n_tokens, H).
      where: the place of each token in the flattened batch. Shape: (n_tokens,).
      shape: B and L.

    Returns:
      Zeros where there is no token. Shape: (B, L, H).
    """
    padded = states.new_zeros(shape[0] * shape[1], states.shape[2])
    padded[where] = states[0]
    return padded.view(*shape, -1)


def attend_unpadded(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """Attend within each of some sequences that lie end to end.

    Args:
      query, key, value: in bf16 on a GPU. Shape: (n_tokens, N, D).
      bounds: where each sequence begins, and the last one ends; int32. Shape: (B + 1,).
      longest: at least the tokens of the longest sequence.

    Returns:
      Shape: (n_tokens, N, D).
    """
    if query.is_cuda:
        found: Any = varlen_attn(query, key, value, bounds, bounds, longest, longest)
        return found
    # The kernel is a GPU's. Without one this is what it gives.
    lengths = bounds.diff().tolist()
    rows = (torch.split(x.transpose(0, 1), lengths, 1) for x in (query, key, value))
    own = [functional.scaled_dot_product_attention(q, k, v) for q, k, v in zip(*rows, strict=True)]
    return torch.cat(own, 1).transpose(0, 1)


def _attend_for_transformers(
    module: nn.Module,  # noqa: ARG001 - the call of transformers
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - there is no padding
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[Tensor, None]:
    q, k, v = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
    return attend_unpadded(q, k, v, cu_seq_lens_q, max_length_q).unsqueeze(0), None
