"""The four heads that read one encoder's hidden states. Shapes: B units, L tokens, E eojeols, H hidden size."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.labels import ENTITY_TYPES


class TopicHead(nn.Module):
    """Topic from the mean of all tokens beside the first."""

    def __init__(self, hidden_size: int, n_topics: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(2 * hidden_size, n_topics)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Score the topics.

        Args:
          hidden: Shape: (B, L, H).
          mask: 1 for a token. Shape: (B, L).

        Returns:
          Logits. Shape: (B, n_topics).
        """
        weight = mask.to(hidden.dtype).unsqueeze(-1)
        mean = (hidden * weight).sum(1) / weight.sum(1)
        logits: Tensor = self.output(self.dropout(torch.cat((mean, hidden[:, 0]), -1)))
        return logits


class CharacterTagHead(nn.Module):
    """BIO tags of single code points, since a piece often holds the end of a name and the particle after it.

    The tag of the n-th code point of a piece is scored by weights shared by all positions and weights of the n-th.
    """

    def __init__(self, hidden_size: int, n_tags: int, char_positions: int) -> None:
        super().__init__()
        self.n_tags, self.char_positions = n_tags, char_positions
        self.dropout = nn.Dropout(0.1)
        self.shared = nn.Linear(hidden_size, n_tags)
        self.positional = nn.Linear(hidden_size, char_positions * n_tags, bias=False)
        nn.init.zeros_(self.positional.weight)

    def forward(self, hidden: Tensor, unit: Tensor, token: Tensor, nth: Tensor) -> Tensor:
        """Score the tags of code points.

        Args:
          hidden: Shape: (B, L, H).
          unit, token, nth: unit, token and position within the piece of each code point. Shape: (n_chars,).

        Returns:
          Logits. Shape: (n_chars, n_tags).
        """
        hidden = self.dropout(hidden)
        by_token = self.positional(hidden).unflatten(-1, (self.char_positions, self.n_tags))
        by_token = by_token + self.shared(hidden).unsqueeze(-2)
        logits: Tensor = by_token[unit, token, nth.clamp(max=self.char_positions - 1)]
        return logits


class PairLayer(nn.Module):
    """A post-norm transformer layer, of the same form as BERT's, that starts as a copy of one."""

    def __init__(self, hidden_size: int, n_heads: int, intermediate_size: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.rate = n_heads, dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.attended = nn.Linear(hidden_size, hidden_size)
        self.attended_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.up = nn.Linear(hidden_size, intermediate_size)
        self.down = nn.Linear(intermediate_size, hidden_size)
        self.down_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def copy_bert(self, layer: Any) -> None:
        """Start from a BertLayer's weights."""
        attention = layer.attention
        parts = (attention.self.query, attention.self.key, attention.self.value)
        with torch.no_grad():
            self.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
            self.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
        for ours, theirs in (
            (self.attended, attention.output.dense),
            (self.attended_norm, attention.output.LayerNorm),
            (self.up, layer.intermediate.dense),
            (self.down, layer.output.dense),
            (self.down_norm, layer.output.LayerNorm),
        ):
            ours.load_state_dict(theirs.state_dict())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attend over each sequence.

        Args:
          x: Shape: (B, L, H).
          mask: True for a token. Shape: (B, 1, 1, L).

        Returns:
          Shape: (B, L, H).
        """
        batch_size, length, hidden_size = x.shape
        qkv = self.qkv(x).view(batch_size, length, 3, self.n_heads, hidden_size // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        rate = self.rate if self.training else 0.0
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
        attended = attended.transpose(1, 2).reshape(batch_size, length, hidden_size)
        x = self.attended_norm(x + self.dropout(self.attended(attended)))
        normed: Tensor = self.down_norm(x + self.dropout(self.down(functional.gelu(self.up(x)))))
        return normed


class RelationHead(nn.Module):
    """Relations of entity pairs: the top layers run again for each pair, with typed marker embeddings added.

    The lower layers' states are shared by all tasks and pairs, so a pair costs `pair_layers` layers, not a whole pass;
    and only the tokens from a little before the pair to a little after it, since the lower layers have read the others.
    Typed markers: Zhou and Chen, 2022, https://arxiv.org/abs/2102.01373

    Args:
      encoder_config: of the encoder whose top layers these repeat.
      n_layers: how many of them.
      n_relations: labels.
      context: tokens that are kept before and after the pair; 0 keeps the whole sentence.
    """

    def __init__(self, encoder_config: Any, n_layers: int, n_relations: int, context: int) -> None:
        super().__init__()
        self.context = context
        size = encoder_config.hidden_size
        self.n_types = len(ENTITY_TYPES)
        self.markers = nn.Embedding(2 * self.n_types, size)
        nn.init.normal_(self.markers.weight, std=0.02)
        self.layers = nn.ModuleList(
            PairLayer(
                size,
                encoder_config.num_attention_heads,
                encoder_config.intermediate_size,
                getattr(encoder_config, "layer_norm_eps", 1e-12),
                0.1,
            )
            for _ in range(n_layers)
        )
        self.dropout = nn.Dropout(0.1)
        self.dense = nn.Linear(3 * size, size)
        self.output = nn.Linear(size, n_relations)

    def find_windows(self, pairs: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Tell which tokens beside the first one are kept for each pair.

        Args:
          pairs: as `forward` takes them. Shape: (n_pairs, 7).
          length: tokens of the padded sequences.

        Returns:
          The first and the last token kept. Shape of both: (n_pairs,).
        """
        context = self.context or length
        first = torch.minimum(pairs[:, 1], pairs[:, 3]) - context
        last = torch.maximum(pairs[:, 2], pairs[:, 4]) + context
        return first.clamp(min=1), last.clamp(max=length - 1)

    def forward(self, hidden: Tensor, mask: Tensor, pairs: Tensor) -> Tensor:
        """Score the relations of pairs.

        Args:
          hidden: states below the top layers. Shape: (B, L, H).
          mask: 1 for a token. Shape: (B, L).
          pairs: unit, subject's first and last token, object's first and last token, subject's and object's type (in
            ENTITY_TYPES). Shape: (n_pairs, 7).

        Returns:
          Logits. Shape: (n_pairs, n_relations).
        """
        unit, s_first, s_last, o_first, o_last, s_type, o_type = pairs.unsqueeze(-1).unbind(1)
        low, high = self.find_windows(pairs, hidden.shape[1])
        steps = torch.arange(int((high - low).max()) + 1, device=hidden.device)
        # The first token stands for the sentence; it is in front of every window.
        position = torch.cat((torch.zeros_like(unit), low.unsqueeze(-1) + steps), 1)
        kept = (position <= high.unsqueeze(-1)) & mask[unit, position.clamp(max=hidden.shape[1] - 1)].bool()
        position = position.clamp(max=hidden.shape[1] - 1)
        in_subject = (kept & (position >= s_first) & (position <= s_last)).to(hidden.dtype).unsqueeze(-1)
        in_object = (kept & (position >= o_first) & (position <= o_last)).to(hidden.dtype).unsqueeze(-1)
        x = hidden[unit, position]
        x = x + in_subject * self.markers(s_type) + in_object * self.markers(o_type + self.n_types)
        for layer in self.layers:
            x = layer(x, kept[:, None, None, :])
        subject = (x * in_subject).sum(1) / in_subject.sum(1)
        object_ = (x * in_object).sum(1) / in_object.sum(1)
        pooled = functional.gelu(self.dense(self.dropout(torch.cat((x[:, 0], subject, object_), -1))))
        logits: Tensor = self.output(self.dropout(pooled))
        return logits


class DependencyHead(nn.Module):
    """A biaffine parser over the first and last piece of each eojeol.

    Reference: Dozat and Manning, 2017, https://arxiv.org/abs/1611.01734; distances as a learned bias are ours.
    """

    max_distance = 32

    def __init__(self, hidden_size: int, arc_size: int, label_size: int, n_labels: int) -> None:
        super().__init__()
        self.root = nn.Parameter(torch.zeros(2 * hidden_size))
        self.dropout = nn.Dropout(0.33)
        self.arc_dep = nn.Linear(2 * hidden_size, arc_size)
        self.arc_head = nn.Linear(2 * hidden_size, arc_size)
        self.label_dep = nn.Linear(2 * hidden_size, label_size)
        self.label_head = nn.Linear(2 * hidden_size, label_size)
        self.arc = nn.Linear(arc_size, arc_size)
        self.arc_bias = nn.Linear(arc_size, 1, bias=False)
        self.distance = nn.Embedding(2 * self.max_distance + 1, 1)
        nn.init.zeros_(self.distance.weight)
        self.n_labels = n_labels
        self.label = nn.Linear(label_size, n_labels * label_size, bias=False)
        nn.init.normal_(self.label.weight, std=1 / label_size)
        self.label_linear = nn.Linear(2 * label_size, n_labels)

    def _mlp(self, layer: nn.Linear, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(functional.gelu(layer(x)))
        return dropped

    def forward(self, hidden: Tensor, first: Tensor, last: Tensor, n_eojeols: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score the heads.

        Args:
          hidden: Shape: (B, L, H).
          first, last: token positions of each eojeol's first and last piece. Shape: (B, E).
          n_eojeols: Shape: (B,).

        Returns:
          Arc scores over heads, 0 for the root, -inf where there is no such head: (B, E, E + 1); label features of the
          dependents (B, E, label_size) and of the heads (B, E + 1, label_size), for `score_labels`.
        """
        batch_size, width = first.shape
        row = torch.arange(batch_size, device=hidden.device).unsqueeze(-1)
        words = torch.cat((hidden[row, first], hidden[row, last]), -1)
        heads = torch.cat((self.root.to(words.dtype).expand(batch_size, 1, -1), words), 1)
        arc_head = self._mlp(self.arc_head, heads)
        scores = self.arc(self._mlp(self.arc_dep, words)) @ arc_head.transpose(1, 2)
        scores = scores / math.sqrt(arc_head.shape[-1]) + self.arc_bias(arc_head).transpose(1, 2)
        index = torch.arange(width + 1, device=hidden.device)
        apart = (index[None, :] - index[1:, None]).clamp(-self.max_distance, self.max_distance) + self.max_distance
        bias = self.distance(apart).squeeze(-1)
        bias = torch.cat((torch.zeros_like(bias[:, :1]), bias[:, 1:]), 1)
        barred = (index[None, None, :] > n_eojeols[:, None, None]) | (index[None, None, :] == index[None, 1:, None])
        scores = (scores + bias).masked_fill(barred, -torch.inf)
        return scores, self._mlp(self.label_dep, words), self._mlp(self.label_head, heads)

    def score_labels(self, dependents: Tensor, heads: Tensor, head: Tensor) -> Tensor:
        """Score the labels of chosen arcs.

        Args:
          dependents, heads: label features that `forward` gave.
          head: the chosen head of each eojeol, 0 for the root. Shape: (B, E).

        Returns:
          Logits. Shape: (B, E, n_labels).
        """
        row = torch.arange(head.shape[0], device=head.device).unsqueeze(-1)
        chosen = heads[row, head]
        # As one matrix product; nn.Bilinear is many times slower on a CPU.
        bilinear = (self.label(dependents).unflatten(-1, (self.n_labels, -1)) @ chosen.unsqueeze(-1)).squeeze(-1)
        logits: Tensor = bilinear + self.label_linear(torch.cat((dependents, chosen), -1))
        return logits
