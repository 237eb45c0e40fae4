"""A transformer layer that a head runs again over some tokens. Shapes: B sequences, L tokens, Q of them, H width."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class PairLayer(nn.Module):
    """A post-norm transformer layer, of the same form as BERT's, that starts as a copy of one."""

    def __init__(self, hidden_size: int, n_heads: int, intermediate_size: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.rate = n_heads, dropout
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key_value = nn.Linear(hidden_size, 2 * hidden_size)
        self.attended = nn.Linear(hidden_size, hidden_size)
        self.attended_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.up = nn.Linear(hidden_size, intermediate_size)
        self.activation = nn.GELU()
        self.down = nn.Linear(intermediate_size, hidden_size)
        self.down_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.attend: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None = None
        """What takes the place of torch's fused attention in inference: query, key, value and mask in."""

    def copy_bert(self, layer: Any) -> None:
        """Start from a BertLayer's weights."""
        attention = layer.attention
        with torch.no_grad():
            self.key_value.weight.copy_(torch.cat([attention.self.key.weight, attention.self.value.weight]))
            self.key_value.bias.copy_(torch.cat([attention.self.key.bias, attention.self.value.bias]))
        for ours, theirs in (
            (self.query, attention.self.query),
            (self.attended, attention.output.dense),
            (self.attended_norm, attention.output.LayerNorm),
            (self.up, layer.intermediate.dense),
            (self.down, layer.output.dense),
            (self.down_norm, layer.output.LayerNorm),
        ):
            ours.load_state_dict(theirs.state_dict())

    def forward(self, x: Tensor, query: Tensor, key_value: Tensor, mask: Tensor) -> Tensor:
        """Run the layer for some tokens of each sequence.

        Args:
          x: the states of these tokens. Shape: (B, Q, H).
          query: what `self.query` gave for them. Shape: (B, Q, H).
          key_value: what `self.key_value` gave for all tokens of the sequences. Shape: (B, L, 2 * H).
          mask: True for a token that may be attended to. Shape: (B, 1, 1, L).

        Returns:
          Shape: (B, Q, H).
        """
        shape = (self.n_heads, x.shape[-1] // self.n_heads)
        keys, values = key_value.view(*key_value.shape[:2], 2, *shape).permute(2, 0, 3, 1, 4)
        queries = query.view(*query.shape[:2], *shape).transpose(1, 2)
        if self.attend is not None:
            attended = self.attend(queries, keys, values, mask)
        else:
            rate = self.rate if self.training else 0.0
            attended = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=rate)
        x = self.attended_norm(x + self.dropout(self.attended(attended.transpose(1, 2).flatten(2))))
        normed: Tensor = self.down_norm(x + self.dropout(self.down(self.activation(self.up(x)))))
        return normed
