"""Pairs of mentions as a relation head reads them: where they stand among the encoder's states."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from klue_beam.transforms.base.codepoints import Ints, ranges
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.pieces import EncodedTexts, Units, tokens_of_chars


@dataclasses.dataclass(frozen=True, slots=True)
class TokenStates:
    """The states of the tokens of some sequences, end to end, without padding.

    Attributes:
      states: Shape: (n_tokens, H).
      begin: where each sequence begins. Shape: (n_units,).
      lengths: its tokens, 0 for a sequence that is not there. Shape: (n_units,).
    """

    states: Tensor
    begin: Ints
    lengths: Ints

    def take(self, units: Ints) -> "TokenStates":
        """Keep the states of these sequences only; the others have length 0. Shape of units: (n_taken,), ascending."""
        _, token = ranges(self.begin[units], self.begin[units] + self.lengths[units])
        begin, lengths = np.zeros_like(self.begin), np.zeros_like(self.lengths)
        lengths[units] = self.lengths[units]
        begin[units] = np.cumsum(lengths[units]) - lengths[units]
        return TokenStates(self.states[to_tensor(token, self.states.device)], begin, lengths)


def flatten_states(hidden: Tensor, mask: Tensor) -> Tensor:
    """Lay the states of a padded batch end to end. Shapes: (B, L, H) and (B, L) to (n_tokens, H)."""
    return hidden[mask.bool()]


def join_states(parts: Sequence[tuple[Ints, Ints, Tensor]], n_units: int, like: Tensor) -> TokenStates:
    """Join the states of several batches.

    Args:
      parts: for each batch its units, their tokens, and the states. Shapes: (B,), (B,), (n_tokens, H).
      n_units: sequences in all.
      like: a tensor on the right device, for where there are no parts. Shape: (…, H).
    """
    begin, lengths = np.zeros(n_units, dtype=np.int64), np.zeros(n_units, dtype=np.int64)
    total = 0
    for units, counts, states in parts:
        lengths[units] = counts
        begin[units] = total + np.cumsum(counts) - counts
        total += len(states)
    states = torch.cat([part[2] for part in parts]) if parts else like.new_zeros(0, like.shape[-1])
    return TokenStates(states, begin, lengths)


def locate_pairs(
    encoded: EncodedTexts, units: Units, n_prefix: int, states: TokenStates, unit: Ints, chars: Ints, types: Ints
) -> Ints:
    """Say where pairs of mentions stand, as RelationHead reads it.

    Args:
      encoded, units, n_prefix: the texts, the sequences, and the special tokens before each.
      states: of the sequences.
      unit: which sequence each pair is in. Shape: (n_pairs,).
      chars: first and last code point of the subject, then of the object, in the flat array. Shape: (n_pairs, 4).
      types: of subject and object, in ENTITY_TYPES. Shape: (n_pairs, 2).

    Returns:
      Shape: (n_pairs, 8).
    """
    tokens = [tokens_of_chars(encoded, units, unit, column, n_prefix) for column in chars.T]
    return np.stack((states.begin[unit], states.lengths[unit], *tokens, *types.T), 1)
