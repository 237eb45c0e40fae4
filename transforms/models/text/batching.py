"""Cutting long texts into windows, and putting units of like length into batches."""

import dataclasses
from typing import Final

import numpy as np
from torch import nn

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.models.text.pieces import EncodedTexts, TextTokenizer, Units

OVERLAP_PIECES: Final = 128
"""Neighbouring windows share so many pieces; each is trusted up to the middle of what it shares."""

TOKENS_A_PASS: Final = {"cpu": 4096, "cuda": 32768}
"""The most tokens of a pass where nothing else is asked for, by kind of device."""

BATCH_COST_TOKENS: Final = {"cpu": 32, "cuda": 4096}
"""A pass of the embedded model costs about as much as so many of its tokens beside them, by kind of device: measured on
a CPU; on a GPU reckoned, from some 250 kernels of 5 microseconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Windows:
    """The units of a batch of texts, with the part of its text that each is trusted for.

    Attributes:
      units: whole texts, or windows of texts longer than the model; in the order of the texts.
      core_begin, core_end: half-open code points (of the flat array) that the unit decides on; the cores of a text's
        units partition it. Shape: (n_units,).
      is_window: whether the unit is less than its whole text. Shape: (n_units,).
    """

    units: Units
    core_begin: Ints
    core_end: Ints
    is_window: Bools

    def texts_in_windows(self, n_texts: int) -> Bools:
        """Tell which texts are cut into windows. Shape: (n_texts,)."""
        windowed = np.zeros(n_texts, dtype=bool)
        windowed[self.units.text[self.is_window]] = True
        return windowed


def count_max_pieces(encoder: nn.Module, tokenizer: TextTokenizer) -> int:
    """Tell how many pieces of a text an encoder has positions for, beside the special tokens.

    Args:
      encoder: a Hugging Face model.
      tokenizer: its tokenizer.

    Raises:
      ValueError: if there is no room for a piece.
    """
    positions = int(getattr(encoder.config, "max_position_embeddings", 0)) or 512
    for name, module in encoder.named_modules():
        # RoBERTa and its kin count positions from behind that of padding.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            positions = module.num_embeddings - module.padding_idx - 1
    if positions <= tokenizer.n_special:
        raise ValueError(
            f"An encoder must have positions for more than the {tokenizer.n_special} special tokens, got {positions}. "
            "Give max_position_embeddings in its config.json as it was trained."
        )
    return positions - tokenizer.n_special


def cut_windows(encoded: EncodedTexts, max_pieces: int) -> Windows:
    """Give each text as one unit, or as overlapping windows where it has more pieces than the model takes.

    Args:
      encoded: the texts.
      max_pieces: pieces that fit beside the special tokens.
    """
    lengths = encoded.pieces.lengths
    overlap = min(OVERLAP_PIECES, max_pieces // 2)
    stride = max_pieces - overlap
    counts = np.where(lengths <= max_pieces, 1, 1 + -(-(lengths - max_pieces) // stride))
    text = np.repeat(np.arange(len(lengths)), counts)
    nth = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
    first_piece = encoded.pieces.offsets[text]
    begin = first_piece + nth * stride
    end = np.minimum(begin + max_pieces, first_piece + lengths[text])
    # The core of a window begins in the middle of what it shares with the one before.
    core_piece = begin + overlap // 2
    char_begin = encoded.chars.offsets[text]
    char_end = encoded.chars.offsets[text + 1]
    padded = np.append(encoded.pieces.begin, 0)
    core_begin = np.where(nth == 0, char_begin, padded[np.minimum(core_piece, len(padded) - 1)])
    is_last = nth == counts[text] - 1
    core_end = np.where(is_last, char_end, np.append(core_begin[1:], 0))
    return Windows(Units(text, begin, end), core_begin, core_end, counts[text] > 1)


def batch_by_length(lengths: Ints, token_budget: int, batch_cost_tokens: int = BATCH_COST_TOKENS["cpu"]) -> list[Ints]:
    """Put units into batches of like length, so that each, padded, holds at most `token_budget` tokens.

    Of all ways to cut the units, sorted by length, into such batches it takes the one that costs least, when a batch
    costs its tokens with the padding and `batch_cost_tokens` more.

    Args:
      lengths: tokens of each unit, special ones included. Shape: (n_units,).
      token_budget: a unit longer than it has a batch of its own.
      batch_cost_tokens: what a pass costs beside its tokens, in the time that so many tokens take.

    Returns:
      For each batch the numbers of its units; ascending by length, ties in order, so that equal
        inputs make equal batches.

    >>> [batch.tolist() for batch in batch_by_length(np.array([9, 3, 4, 30]), 12)]
    [[1, 2], [0], [3]]
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    # cost[i] is the least cost of the first i units; begin[i] is where the last batch of these begins.
    cost = np.zeros(len(order) + 1)
    begin = np.zeros(len(order) + 1, dtype=np.int64)
    for i in range(1, len(order) + 1):
        widest = max(1, int(ordered[i - 1]))
        low = max(0, i - max(1, token_budget // widest))
        candidates = cost[low:i] + widest * np.arange(i - low, 0, -1)
        best = int(candidates.argmin())
        cost[i], begin[i] = candidates[best] + batch_cost_tokens, low + best
    batches = []
    end = len(order)
    while end:
        batches.append(order[begin[end] : end])
        end = int(begin[end])
    return batches[::-1]
