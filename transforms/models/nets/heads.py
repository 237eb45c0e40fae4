"""Heads that read an encoder's hidden states. Shapes: B units, L tokens, H hidden size."""

import torch
from torch import Tensor, nn


class SentenceHead(nn.Module):
    """One label of a whole unit, from the mean of all tokens beside the first."""

    def __init__(self, hidden_size: int, n_labels: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(2 * hidden_size, n_labels)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Score the labels.

        Args:
          hidden: Shape: (B, L, H).
          mask: 1 for a token. Shape: (B, L).

        Returns:
          Logits. Shape: (B, n_labels).
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
