"""The head that scores relations. Shapes: B units, L tokens, H hidden size."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from klue_beam.schemas.labels import ENTITY_TYPES
from klue_beam.transforms.models.nets.layers import PairLayer


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
