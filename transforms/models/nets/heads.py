"""The four heads that read one encoder's hidden states. Shapes: B units, L tokens, E eojeols, H hidden size."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from klue_beam.schemas.labels import ENTITY_TYPES


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


class RelationHead(nn.Module):
    """Relations of entity pairs: the top layers run again for each pair, with typed marker embeddings added.

    The lower layers' states are shared by all tasks and pairs, so a pair costs `pair_layers` layers, not a whole pass,
    and less than that:

    - only the tokens from a little before the pair to a little after it are read, since the lower layers have read the
      others;
    - what the first of these layers attends with is linear in the states, so it is computed once a token for all
      pairs, and the markers' share is added;
    - of the last layer only the tokens that are read after it are computed: the first one and those of the mentions.

    Typed markers: Zhou and Chen, 2022, https://arxiv.org/abs/2102.01373

    Args:
      encoder_config: of the encoder whose top layers these repeat.
      n_layers: how many of them. With 0 the sentence's states of the two mentions are read as they are, with as many as
        the encoder has a pair gets a pass of its own, its markers among the embeddings.
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

    def find_windows(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Tell which tokens beside the first one are kept for each pair.

        Args:
          pairs: as `score` takes them. Shape: (n_pairs, 8).

        Returns:
          The first and the last token kept. Shape of both: (n_pairs,).
        """
        last = pairs[:, 1] - 1
        if not self.context:
            return torch.ones_like(last), last
        low = torch.minimum(pairs[:, 2], pairs[:, 4]) - self.context
        high = torch.maximum(pairs[:, 3], pairs[:, 5]) + self.context
        return low.clamp(min=1), torch.minimum(high, last)

    def project(self, states: Tensor) -> tuple[Tensor, ...]:
        """Compute what all pairs share.

        Args:
          states: of tokens, below the top layers; the tokens of a sequence lie side by side. Shape: (n_tokens, H).

        Returns:
          The states, and their queries and their keys and values in the first layer if there is one, for `score`.
        """
        if not self.layers:
            return (states,)
        first: Any = self.layers[0]
        return states, first.query(states), first.key_value(states)

    def score(self, shared: tuple[Tensor, ...], pairs: Tensor) -> Tensor:
        """Score the relations of pairs.

        Args:
          shared: what `project` gave.
          pairs: where the sequence begins among the states and how many tokens it has; subject's first and last token
            and object's first and last token, counted in the sequence; subject's and object's type (in ENTITY_TYPES).
            Shape: (n_pairs, 8).

        Returns:
          Logits. Shape: (n_pairs, n_relations).
        """
        start, _, s_first, s_last, o_first, o_last, s_type, o_type = pairs.unsqueeze(-1).unbind(1)
        low, high = (bound.unsqueeze(-1) for bound in self.find_windows(pairs))
        steps = torch.arange(int((high - low).max()) + 1, device=pairs.device)
        # The first token stands for the sentence; it is in front of every window.
        position = torch.cat((torch.zeros_like(low), low + steps), 1)
        kept = position <= high
        index = start + torch.minimum(position, high)
        mentions = ((s_first, s_last, s_type), (o_first, o_last, o_type + self.n_types))
        tables = self._mark()
        read, subject, object_ = _list_read(pairs, low)
        layers: list[Any] = list(self.layers)

        def take(number: int, columns: Tensor | None) -> Tensor:
            """Take the windows' rows of one of the shared arrays, or some columns of each, the markers added."""
            at, here, there = position, index, kept
            if columns is not None:
                at, here, there = (array.gather(1, columns) for array in (at, here, there))
            taken = shared[number][here]
            for first, last, kind in mentions:
                pair, column = ((at >= first) & (at <= last) & there).nonzero(as_tuple=True)
                taken[pair, column] += tables[number][kind[pair, 0]]
            return taken

        # What only the last layer needs is taken where it is read.
        x = take(0, read if len(layers) < 2 else None)
        if layers:
            query, key_value = take(1, read if len(layers) < 2 else None), take(2, None)
        for number, layer in enumerate(layers):
            if number:
                key_value = layer.key_value(x)
                if number == len(layers) - 1:
                    x = _pick(x, read)
                query = layer.query(x)
            x = layer(x, query, key_value, kept[:, None, None, :])
        means = [(x * mask).sum(1) / mask.sum(1) for mask in (subject.to(x.dtype), object_.to(x.dtype))]
        pooled = functional.gelu(self.dense(self.dropout(torch.cat((x[:, 0], *means), -1))))
        logits: Tensor = self.output(self.dropout(pooled))
        return logits

    def forward(self, states: Tensor, pairs: Tensor) -> Tensor:
        """Project and score."""
        return self.score(self.project(states), pairs)

    def _mark(self) -> tuple[Tensor, ...]:
        """Give what each marker adds to what `project` gives. Shapes: (2 * n_types, H or 2 * H)."""
        table = self.markers.weight
        if not self.layers:
            return (table,)
        none = torch.zeros_like(table[:1])
        first: Any = self.layers[0]
        return table, *(project(table) - project(none) for project in (first.query, first.key_value))


def _list_read(pairs: Tensor, low: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """List the columns of each pair's window that are read in the end: the first, the subject's and the object's.

    Args:
      pairs: as RelationHead takes them. Shape: (n_pairs, 8).
      low: the first token of each window. Shape: (n_pairs, 1).

    Returns:
      Columns, then for each whether it is one of the subject, or of the object. Shapes: (n_pairs, n_read), and twice
      (n_pairs, n_read, 1).
    """
    columns, masks = [torch.zeros_like(low)], []
    widths = [1]
    for first, last in ((pairs[:, 2:3], pairs[:, 3:4]), (pairs[:, 4:5], pairs[:, 5:6])):
        steps = torch.arange(int((last - first).max()) + 1, device=pairs.device)
        masks.append(steps <= last - first)
        columns.append(torch.minimum(first + steps, last) - low + 1)
        widths.append(len(steps))
    subject, object_ = masks
    subject = functional.pad(subject, (1, widths[2]))
    object_ = functional.pad(object_, (1 + widths[1], 0))
    return torch.cat(columns, 1), subject.unsqueeze(-1), object_.unsqueeze(-1)


def _pick(x: Tensor, columns: Tensor) -> Tensor:
    """Take some tokens of each sequence. Shapes: (B, L, H) and (B, Q) to (B, Q, H)."""
    return x[torch.arange(len(x), device=x.device).unsqueeze(-1), columns]


def bar_absent_heads(scores: Tensor, n_eojeols: Tensor) -> Tensor:
    """Give -inf to heads that a word cannot have: itself, and those past the end of its sentence.

    Args:
      scores: of each head, 0 for the root. Shape: (B, E, E + 1).
      n_eojeols: Shape: (B,).
    """
    index = torch.arange(scores.shape[2], device=scores.device)
    barred = (index[None, None, :] > n_eojeols[:, None, None]) | (index[None, None, :] == index[None, 1:, None])
    return scores.masked_fill(barred, -torch.inf)


class DependencyHead(nn.Module):
    """A biaffine parser over the first and last piece of each eojeol.

    Reference: Dozat and Manning, 2017, https://arxiv.org/abs/1611.01734; distances as a learned bias are ours.
    """

    max_distance = 32

    def __init__(self, hidden_size: int, arc_size: int, label_size: int, n_labels: int) -> None:
        super().__init__()
        self.root = nn.Parameter(torch.zeros(2 * hidden_size))
        self.activation = nn.GELU()
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
        self.sizes = (arc_size, arc_size, label_size, label_size)
        self.joint: nn.Module | None = None
        """What took the place of the four layers before the activation, and of that, by `join`."""

    def join(self, pack: Callable[[nn.Linear], nn.Module]) -> None:
        """Let one layer take the place of arc_dep, arc_head, label_dep and label_head, for inference.

        Args:
          pack: makes it of a linear layer that is these four side by side; the activation must be in it.
        """
        names = ("arc_dep", "arc_head", "label_dep", "label_head")
        layers = [getattr(self, name) for name in names]
        joined = nn.Linear(self.arc_dep.in_features, sum(self.sizes))
        with torch.no_grad():
            joined.weight.copy_(torch.cat([layer.weight for layer in layers]))
            joined.bias.copy_(torch.cat([layer.bias for layer in layers]))
        self.joint = pack(joined)
        for name in names:
            delattr(self, name)

    def _project(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give the features of arcs and of labels, of words as dependents and, the root in front, as heads."""
        root = self.root.to(words.dtype).expand(len(words), 1, -1)
        heads = torch.cat((root, words), 1)
        if self.joint is not None:
            arc_dep, arc_head, label_dep, label_head = torch.split(self.joint(heads), list(self.sizes), -1)
            return arc_dep[:, 1:], arc_head, label_dep[:, 1:], label_head
        return (
            self._mlp(self.arc_dep, words),
            self._mlp(self.arc_head, heads),
            self._mlp(self.label_dep, words),
            self._mlp(self.label_head, heads),
        )

    def _mlp(self, layer: nn.Linear, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(self.activation(layer(x)))
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
        arc_dep, arc_head, label_dep, label_head = self._project(words)
        scores = self.arc(arc_dep)
        scores = scores @ arc_head.to(scores.dtype).transpose(1, 2)
        scores = scores / math.sqrt(arc_head.shape[-1]) + self.arc_bias(arc_head).transpose(1, 2)
        index = torch.arange(width + 1, device=hidden.device)
        apart = (index[None, :] - index[1:, None]).clamp(-self.max_distance, self.max_distance) + self.max_distance
        bias = self.distance(apart).squeeze(-1)
        bias = torch.cat((torch.zeros_like(bias[:, :1]), bias[:, 1:]), 1)
        return bar_absent_heads(scores + bias, n_eojeols), label_dep, label_head

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
        projected = self.label(dependents).unflatten(-1, (self.n_labels, -1))
        bilinear = (projected @ chosen.to(projected.dtype).unsqueeze(-1)).squeeze(-1)
        logits: Tensor = bilinear + self.label_linear(torch.cat((dependents, chosen), -1))
        return logits
