"""The head that scores dependency trees. Shapes: B units, L tokens, E eojeols, H hidden size."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


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
