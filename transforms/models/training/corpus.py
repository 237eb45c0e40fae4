"""Plain texts as a flat array of pieces, cut into passages that an encoder reads one by one in pre-training."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.codepoints import Bools, Ints
from transforms.config import require
from transforms.models.pieces import TextTokenizer
from transforms.split import load_splitter

WORD_MARK: Final = "\u2581"
"""What the first piece of a word begins with, in the vocabularies that this module knows."""

CORPUS_FILE: Final = "corpus.npz"
_BATCH_TEXTS: Final = 2000
_LENGTHS: Final = (0.7, 0.2, 0.1)
"""Shares of a document's passages with room for a quarter, half and all of the encoder's positions."""

_EARLY_END: Final = 0.15
"""How often a passage ends after a sentence that it has room behind: sentences by themselves are read, too."""


class Source(NamedTuple):
    """Texts of one kind.

    Attributes:
      name: what the log calls them.
      texts: documents, or sentences without neighbours.
      is_documents: whether a text is split into sentences, of which a passage takes as many as it has room for.
    """

    name: str
    texts: Sequence[str]
    is_documents: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Corpus:
    """Passages of pieces, without special tokens.

    Attributes:
      names: of the sources.
      ids: vocabulary ids of all passages, one after the other. Shape: (n_pieces,).
      offsets: where each passage begins. Shape: (n_passages + 1,).
      source: number of each passage's source. Shape: (n_passages,).
      held_out: whether a passage is kept for the loss that tells how training goes. Shape: (n_passages,).
    """

    names: tuple[str, ...]
    ids: npt.NDArray[np.int32]
    offsets: Ints
    source: npt.NDArray[np.int16]
    held_out: Bools

    @property
    def lengths(self) -> Ints:
        """Pieces of each passage. Shape: (n_passages,)."""
        return np.diff(self.offsets)

    def save(self, folder: Path) -> None:
        """Write the corpus, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"new-{CORPUS_FILE}"
        np.savez(
            fresh,
            names=np.array(self.names),
            ids=self.ids,
            offsets=self.offsets,
            source=self.source,
            held_out=self.held_out,
        )
        os.replace(fresh, folder / CORPUS_FILE)

    @classmethod
    def load(cls, folder: Path) -> "Corpus":
        """Read what `save` wrote."""
        with np.load(folder / CORPUS_FILE, allow_pickle=False) as stored:
            names = tuple(str(name) for name in stored["names"])
            return cls(names, *(stored[name] for name in ("ids", "offsets", "source", "held_out")))


def build_corpus(
    sources: Iterable[Source],
    tokenizer: TextTokenizer,
    *,
    max_positions: int = 512,
    held_out_share: float = 0.004,
    seed: int = 1,
) -> Corpus:
    """Cut texts into passages.

    Args:
      sources: the texts.
      tokenizer: of the encoder.
      max_positions: tokens that it reads at once, special ones included; single sentences are cut at a quarter of them.
      held_out_share: of the passages of each source that are not trained on.
      seed: of lengths and of what is held out.

    Raises:
      ValueError: if there is no text with a piece.
    """
    random = np.random.default_rng(seed)
    rooms = [max_positions // part - tokenizer.n_special for part in (4, 2, 1)]
    names: list[str] = []
    parts: list[npt.NDArray[np.int32]] = []
    source: list[int] = []
    for source_ in sources:
        names.append(source_.name)
        for passage in _cut_source(source_, tokenizer, rooms, random):
            parts.append(passage)
            source.append(len(names) - 1)
    require(bool(parts), "`sources` must hold a text with a piece", "none", "Give texts.")
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    held_out = random.random(len(parts)) < held_out_share
    return Corpus(tuple(names), np.concatenate(parts), offsets, np.array(source, dtype=np.int16), held_out)


def _cut_source(
    source: Source, tokenizer: TextTokenizer, rooms: Sequence[int], random: np.random.Generator
) -> Iterable[npt.NDArray[np.int32]]:
    split = load_splitter("fast")
    backend = tokenizer.tokenizer.backend_tokenizer
    for begin in range(0, len(source.texts), _BATCH_TEXTS):
        texts = source.texts[begin : begin + _BATCH_TEXTS]
        sentences = [[text[b:e] for b, e in split(text)] if source.is_documents else [text] for text in texts]
        flat = backend.encode_batch_fast([one for many in sentences for one in many], add_special_tokens=False)
        pieces = iter([np.array(encoding.ids, dtype=np.int32) for encoding in flat])
        for many in sentences:
            yield from _pack([next(pieces) for _ in many], rooms, random)


def _pack(
    sentences: Sequence[npt.NDArray[np.int32]], rooms: Sequence[int], random: np.random.Generator
) -> Iterable[npt.NDArray[np.int32]]:
    """Join a document's sentences to passages."""
    kept: list[npt.NDArray[np.int32]] = []
    room = random.choice(rooms, p=_LENGTHS) if len(sentences) > 1 else rooms[0]
    used = 0
    for whole in sentences:
        for begin in range(0, len(whole), room):
            sentence = whole[begin : begin + room]
            if kept and (used + len(sentence) > room or random.random() < _EARLY_END):
                yield np.concatenate(kept)
                kept, used = [], 0
                room = random.choice(rooms, p=_LENGTHS)
                sentence = sentence[:room]
            kept.append(sentence)
            used += len(sentence)
    if kept:
        yield np.concatenate(kept)


def word_starts(tokenizer: TextTokenizer) -> Bools:
    """Tell of each id of the vocabulary whether a word begins with it. Shape: (n_ids,).

    Raises:
      ValueError: if no piece is marked so: the vocabulary is of another kind.
    """
    vocabulary = tokenizer.tokenizer.get_vocab()
    starts = np.zeros(max(vocabulary.values()) + 1, dtype=np.bool_)
    starts[[number for piece, number in vocabulary.items() if piece.startswith(WORD_MARK)]] = True
    require(
        bool(starts.any()),
        f"The tokenizer's pieces must have {WORD_MARK!r} where a word begins",
        "no such piece",
        "Give an encoder with a SentencePiece vocabulary.",
    )
    return starts
