"""Tokenising a batch of texts into flat arrays of pieces with exact code-point spans, and laying units of them out."""

import dataclasses
import hashlib
import itertools
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, CodePoints, Eojeols, Ints, find_eojeols, ranges, to_code_points

_PROBE: Final = "가 a"

_END_OF_BMP: Final = 0x10000
_JOINS_TABLE: Final = np.array(
    [
        0x1160 <= code <= 0x11FF or code == 0x200D or unicodedata.category(chr(code)) in ("Mn", "Me")
        for code in range(_END_OF_BMP)
    ]
    + [False]
)
"""Code points that belong to the character before: vowels and finals of decomposed Hangul, marks, joiners."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of several texts, without special tokens.

    Attributes:
      ids: vocabulary ids. Shape: (n_pieces,).
      begin, end: half-open code points in the flat array of all texts, white space trimmed; disjoint and ascending.
        A piece that has no code point of its own is empty. Shape: (n_pieces,).
      offsets: where the pieces of each text begin. Shape: (n_texts + 1,).
      piece_of_char: the piece that each code point is of, or the last one before it (possibly of a text before);
        -1 where there is none. Shape: (n_chars,).
    """

    ids: Ints
    begin: Ints
    end: Ints
    offsets: Ints
    piece_of_char: Ints

    @property
    def lengths(self) -> Ints:
        """Pieces of each text. Shape: (n_texts,)."""
        return np.diff(self.offsets)


@dataclasses.dataclass(frozen=True, slots=True)
class EncodedTexts:
    """A batch of texts as a model reads it.

    Attributes:
      texts: the texts.
      chars: their code points.
      joins: whether a code point belongs to the character before it. Shape: (n_chars,).
      pieces: their pieces.
      eojeols: their white-space-separated words.
      eojeol_first, eojeol_last: first and last piece of each eojeol, counted from the text's first piece; -1 where the
        text has no piece before its end. Shape: (n_eojeols,).
    """

    texts: Sequence[str]
    chars: CodePoints
    joins: Bools
    pieces: Pieces
    eojeols: Eojeols
    eojeol_first: Ints
    eojeol_last: Ints

    def end_of_char(self, end: Ints) -> Ints:
        """Move ends of spans (in the flat array of code points) to the ends of characters. Shape: (n,)."""
        stops = np.flatnonzero(np.append(~self.joins, True))
        return stops[np.searchsorted(stops, end)]


class TextTokenizer:
    """A fast tokenizer seen as: texts in, flat arrays of pieces with exact spans out.

    Args:
      tokenizer: a `PreTrainedTokenizerFast`.

    Raises:
      ValueError: if the tokenizer is not a fast one, which alone knows offsets, or has no vocabulary.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"The tokenizer must be a fast one (it alone knows offsets), got {type(tokenizer).__name__}. "
                "Save the checkpoint with a tokenizer.json, or convert it with AutoTokenizer(..., use_fast=True)."
            )
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # what transformers makes where there are no files
            raise ValueError(
                f"The tokenizer must have a vocabulary, got its {len(tokenizer)} special tokens only. "
                "Save the checkpoint with its tokenizer.json."
            )
        self.tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        probe = self._backend.encode(_PROBE)
        own = np.flatnonzero(np.array(probe.special_tokens_mask) == 0)
        if not len(own):
            raise ValueError(
                f"The tokenizer must give pieces for any text, got none for {_PROBE!r}. Save it again with an unknown "
                "token in its vocabulary."
            )
        self.prefix = np.array(probe.ids[: own[0]], dtype=np.int64)
        self.suffix = np.array(probe.ids[own[-1] + 1 :], dtype=np.int64)
        self.pad_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0)
        hidden = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
        self.hidden_id = int(hidden if hidden is not None else self.pad_id)
        self._last: EncodedTexts | None = None

    def identify(self) -> str:
        """Give a digest of all that its results depend on."""
        told = f"{self._backend.to_str()} {self.pad_id} {self.hidden_id}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def n_special(self) -> int:
        """How many special tokens stand around a text."""
        return len(self.prefix) + len(self.suffix)

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Tokenise texts in one call.

        Args:
          texts: strings without lone surrogates. The same tuple as in the call before, which cannot have changed since,
            gets the same result: several models with one tokenizer tokenise a text once.
        """
        last = self._last
        if last is not None and last.texts is texts:
            return last
        chars = to_code_points(texts)
        encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(encoding) for encoding in encodings], out=offsets[1:])
        flat = itertools.chain.from_iterable
        ids = np.fromiter(flat(encoding.ids for encoding in encodings), dtype=np.int64, count=offsets[-1])
        spans = np.fromiter(
            flat(flat(encoding.offsets for encoding in encodings)), dtype=np.int64, count=2 * offsets[-1]
        ).reshape(-1, 2)
        spans = spans + np.repeat(chars.offsets[:-1], np.diff(offsets))[:, None]
        pieces = _locate(chars, ids, spans[:, 0], spans[:, 1], offsets)
        eojeols = find_eojeols(chars)
        first_piece, last_piece = _eojeol_pieces(chars, pieces, eojeols)
        encoded = EncodedTexts(texts, chars, _find_joins(chars), pieces, eojeols, first_piece, last_piece)
        self._last = encoded if isinstance(texts, tuple) else None
        return encoded


def _find_joins(chars: CodePoints) -> Bools:
    joins: Bools = _JOINS_TABLE[np.minimum(chars.codes, _END_OF_BMP)]
    # The first character of a text, or after white space, stands for itself.
    before = np.append(True, chars.is_space[:-1]) if len(joins) else joins
    joins &= ~before
    joins[chars.offsets[:-1][chars.lengths > 0]] = False
    return joins


def _locate(chars: CodePoints, ids: Ints, begin: Ints, end: Ints, offsets: Ints) -> Pieces:
    """Trim white space off the spans, make them disjoint, and note which piece each code point is of."""
    n_chars = len(chars.codes)
    solid = np.append(np.flatnonzero(~chars.is_space), n_chars)
    trimmed_begin = np.minimum(solid[np.searchsorted(solid, begin)], end)
    trimmed_end = np.append(0, solid[:-1] + 1)[np.searchsorted(solid[:-1], end)]
    # Of several pieces of one code point (a word's mark before it, normalisation, bytes) the last has it.
    taken = np.append(np.where(trimmed_begin < trimmed_end, trimmed_begin, n_chars), n_chars)
    limit = np.minimum.accumulate(taken[::-1])[::-1][1:]
    end = np.minimum(trimmed_end, limit)
    begin = np.minimum(trimmed_begin, limit)
    end = np.maximum(begin, end)
    piece_of_char = np.full(n_chars, -1, dtype=np.int64)
    which, char = ranges(begin, end)
    piece_of_char[char] = which
    return Pieces(ids, begin, end, offsets, np.maximum.accumulate(piece_of_char))


def _eojeol_pieces(chars: CodePoints, pieces: Pieces, eojeols: Eojeols) -> tuple[Ints, Ints]:
    """Find each eojeol's first and last piece; one without pieces takes the last piece before it."""
    counts = np.diff(eojeols.offsets)
    text_begin = np.repeat(chars.offsets[:-1], counts)
    solid = np.flatnonzero(pieces.end > pieces.begin)
    last = np.searchsorted(pieces.begin[solid], text_begin + eojeols.end) - 1
    first = np.minimum(np.searchsorted(pieces.end[solid], text_begin + eojeols.begin, side="right"), last)
    number = np.append(solid, -1)
    text_first = np.repeat(pieces.offsets[:-1], counts)
    return np.maximum(number[first] - text_first, -1), np.maximum(number[last] - text_first, -1)


def replace_pieces(encoded: EncodedTexts, ids: Ints, keep: Bools) -> EncodedTexts:
    """Give texts other pieces in the place of theirs.

    Args:
      encoded: the texts.
      ids: vocabulary ids of all their pieces. Shape: (n_pieces,).
      keep: which pieces stay; one that goes must have no code point of its own. Shape: (n_pieces,).
    """
    number = np.append(0, np.cumsum(keep))
    old = encoded.pieces
    piece_of_char = np.where(old.piece_of_char >= 0, number[old.piece_of_char + 1] - 1, -1)
    pieces = Pieces(ids[keep], old.begin[keep], old.end[keep], number[old.offsets], piece_of_char)
    first, last = _eojeol_pieces(encoded.chars, pieces, encoded.eojeols)
    return dataclasses.replace(encoded, pieces=pieces, eojeol_first=first, eojeol_last=last)


@dataclasses.dataclass(frozen=True, slots=True)
class Units:
    """What passes through the encoder as one sequence each: a whole text, or a window of a long one.

    Attributes:
      text: which text. Shape: (n_units,).
      begin, end: half-open pieces, counted in the flat array of all pieces. Shape: (n_units,).
    """

    text: Ints
    begin: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.text)

    def take(self, index: npt.NDArray[Any]) -> "Units":
        """Give the units of these numbers, in this order."""
        return Units(self.text[index], self.begin[index], self.end[index])


@dataclasses.dataclass(frozen=True, slots=True)
class PaddedInputs:
    """Units laid out for one forward pass.

    Attributes:
      input_ids: Shape: (batch_size, seq_len).
      mask: 1 for a token, 0 for padding. Shape: (batch_size, seq_len).
      n_prefix: special tokens before the first piece.
    """

    input_ids: Ints
    mask: Ints
    n_prefix: int


def pad_units(encoded: EncodedTexts, units: Units, tokenizer: TextTokenizer) -> PaddedInputs:
    """Lay units out with their special tokens, padded to the longest."""
    lengths = units.end - units.begin
    n_prefix, n_suffix = len(tokenizer.prefix), len(tokenizer.suffix)
    width = int(lengths.max(initial=0)) + n_prefix + n_suffix
    input_ids = np.full((len(units), width), tokenizer.pad_id, dtype=np.int64)
    input_ids[:, :n_prefix] = tokenizer.prefix
    unit, piece = ranges(units.begin, units.end)
    input_ids[unit, piece - units.begin[unit] + n_prefix] = encoded.pieces.ids[piece]
    for i in range(n_suffix):
        input_ids[np.arange(len(units)), lengths + n_prefix + i] = tokenizer.suffix[i]
    mask = (np.arange(width) < (lengths + n_prefix + n_suffix)[:, None]).astype(np.int64)
    return PaddedInputs(input_ids, mask, n_prefix)


@dataclasses.dataclass(frozen=True, slots=True)
class CharIndex:
    """Where the encoder's output for each scored character stands.

    Attributes:
      unit: which unit of the batch. Shape: (n_scored,).
      token: position in the unit's sequence. Shape: (n_scored,).
      nth: how many characters of its piece stand before it. Shape: (n_scored,).
      char: which code point, in the flat array of all texts, ascending in a unit. Shape: (n_scored,).
    """

    unit: Ints
    token: Ints
    nth: Ints
    char: Ints


def index_chars(encoded: EncodedTexts, units: Units, n_prefix: int) -> CharIndex:
    """List the characters of units that a piece covers; white space, and what joins the character before, has none."""
    pieces = encoded.pieces
    scored = ~(encoded.chars.is_space | encoded.joins)
    unit, piece = ranges(units.begin, units.end)
    which, char = ranges(pieces.begin[piece], pieces.end[piece])
    which, char = which[scored[char]], char[scored[char]]
    unit, piece = unit[which], piece[which]
    before = np.append(0, np.cumsum(scored))
    nth = before[char] - before[pieces.begin[piece]]
    return CharIndex(unit, piece - units.begin[unit] + n_prefix, nth, char)


@dataclasses.dataclass(frozen=True, slots=True)
class EojeolIndex:
    """Where the eojeols of whole texts stand in a batch.

    Attributes:
      first, last: token positions of an eojeol's first and last piece, 0 past the text's last eojeol.
        Shape: (batch_size, n_eojeols).
      n_eojeols: eojeols of each text. Shape: (batch_size,).
    """

    first: Ints
    last: Ints
    n_eojeols: Ints


def index_eojeols(encoded: EncodedTexts, text: Ints, n_prefix: int) -> EojeolIndex:
    """List the eojeols of whole texts, padded to the text that has most."""
    begin, end = encoded.eojeols.offsets[text], encoded.eojeols.offsets[text + 1]
    counts = end - begin
    shape = (len(text), int(counts.max(initial=0)))
    row, eojeol = ranges(begin, end)
    column = eojeol - begin[row]
    first, last = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    # An eojeol before any piece (-1) falls on the special token before the text, or on its first piece.
    first[row, column] = np.maximum(encoded.eojeol_first[eojeol] + n_prefix, 0)
    last[row, column] = np.maximum(encoded.eojeol_last[eojeol] + n_prefix, 0)
    return EojeolIndex(first, last, counts)


def tokens_of_chars(encoded: EncodedTexts, units: Units, unit: Ints, char: Ints, n_prefix: int) -> Ints:
    """Give the tokens of code points (of the flat array) in their units; where no piece has one, the token before.

    Args:
      encoded, units: the batch.
      unit: which unit each code point is in. Shape: (n,).
      char: Shape: (n,).
      n_prefix: special tokens before the first piece.
    """
    piece = encoded.pieces.piece_of_char[char]
    return np.clip(piece, units.begin[unit], units.end[unit] - 1) - units.begin[unit] + n_prefix
