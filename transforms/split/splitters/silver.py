"""Training documents for `fast`: gold sentences joined, and texts that kss and Kiwi split (silver)."""

import dataclasses
import hashlib
import json
import lzma
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.split.splitters.other_endings import with_other_ending
from klue_beam.transforms.split.splitters.planted import as_list, pause, plant, shorten_connectives
from klue_beam.transforms.split.splitters.spans import Splitter

Ends = list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingDocument:
    """A document, and where its sentences end in each teacher's view.

    Attributes:
      text: the document.
      ends: by teacher, code points. With one teacher it is right about all candidates; of two, the first alone is asked
        about ends with punctuation, the mean of both about others.
      unknown: code points at which no teacher is to be believed.
      trust_lines: whether every line end is a boundary.
    """

    text: str
    ends: tuple[Ints, ...]
    unknown: Ints
    trust_lines: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Sentence:
    """A text that people took for one sentence.

    Attributes:
      text: the sentence.
      doubts: where kss would have cut it all the same.
      names: half-open code points of names in it, as far as they are known.
    """

    text: str
    doubts: tuple[int, ...] = ()
    names: tuple[tuple[int, int], ...] = ()

    def varied(self, rng: random.Random) -> "Sentence":
        """Make a sentence harder to read now and then; one with doubts stays as it is."""
        if self.doubts:
            return self
        text = plant(self.text, rng, self.names) if rng.random() < PLANTED_SHARE else self.text
        if rng.random() < PAUSED_SHARE:
            text = pause(text, rng)
        if rng.random() < SHORTENED_SHARE:
            text = shorten_connectives(text)
        return Sentence(text)


PLANTED_SHARE: Final = 0.2
"""So many sentences that have been joined get a noun that ends like a verb."""

SHORTENED_SHARE: Final = 0.5
"""In so many sentences `-다가` is written `-다`."""

PAUSED_SHARE: Final = 0.04
"""So many sentences get an ellipsis or a tilde inside."""

ASIDE_SHARE: Final = 0.02
"""So many sentences stand in brackets of their own."""

LIST_SHARE: Final = 0.08
"""So many joined documents are lists."""

VARIANTS: Final = (
    "..",
    "...",
    "~",
    "!",
    "!!",
    "^^",
    " ㅋㅋ",
    "ㅎㅎ",
    " ㅎㅎ",
    " ㅠㅠ",
    "ㅠㅠ",
    "…",
    " ^^",
    "~~",
    "ㅋㅋㅋ",
    "!!!",
)
_POLITE: Final = re.compile(r"([요죠]|니다)\W*$")
HANGUL_END: Final = re.compile("[가-힣]$")
_FINAL_STOP: Final = re.compile(r"(?<=[가-힣])[.]$")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a .jsonl.xz file."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def label(texts: Sequence[str], splitter: Splitter, cache: Path | None) -> list[Ends]:
    """Let a teacher split texts one by one; with a cache folder, only once for the same texts and teacher."""
    digest = hashlib.sha256("\0".join((splitter.name, *texts)).encode()).hexdigest()[:20]
    kept = cache / f"{splitter.name}-{digest}.json" if cache else None
    if kept and kept.exists():
        ends: list[Ends] = json.loads(kept.read_text())
        return ends
    ends = [[end for _, end in splitter(text)] for text in texts]
    if kept:
        kept.write_text(json.dumps(ends))
    return ends


def with_doubts(texts: Sequence[str], ends: Sequence[Ends]) -> list[Sentence]:
    """Put one-sentence texts together with the ends that kss sees inside them."""
    return [Sentence(text, tuple(found[:-1])) for text, found in zip(texts, ends, strict=True)]


def silver_documents(texts: Sequence[str], teachers: Sequence[Sequence[Ends]], lines: bool) -> list[TrainingDocument]:
    """Make training documents of texts that teachers have split."""
    nowhere = np.zeros(0, dtype=np.int64)
    return [
        TrainingDocument(text, tuple(np.array(ends, dtype=np.int64) for ends in views), nowhere, lines)
        for text, *views in zip(texts, *teachers, strict=True)
    ]


def group(sentences: Iterable[Sentence], rng: random.Random, longest: int) -> Iterator[list[Sentence]]:
    """Cut a sequence of sentences into documents of one to `longest` sentences."""
    batch: list[Sentence] = []
    size = rng.randint(1, longest)
    for sentence in sentences:
        batch.append(sentence)
        if len(batch) >= size:
            yield batch
            batch, size = [], rng.randint(1, longest)
    if batch:
        yield batch


def by_style(sentences: Sequence[Sentence], rng: random.Random) -> list[Sentence]:
    """Shuffle sentences of unrelated writers so that those who end alike, with punctuation or in 요, stand together."""
    shuffled = rng.sample(sentences, len(sentences))
    return sorted(shuffled, key=lambda sentence: (sentence.text[-1] in ".!?", bool(_POLITE.search(sentence.text))))


def _restyle(texts: list[str], rng: random.Random) -> list[str]:
    """Rewrite the full stops of a whole document as one writer would, or leave them."""
    draw = rng.random()
    if draw < 0.5:
        return texts
    if draw < 0.76:
        return [_FINAL_STOP.sub("", text) for text in texts]
    if draw < 0.84:
        return [_FINAL_STOP.sub("", text) if rng.random() < 0.4 else text for text in texts]
    if draw < 0.94:
        return _as_spoken(texts, rng)
    own = rng.sample(VARIANTS, 2)
    return [_FINAL_STOP.sub(lambda _: rng.choice((*own, ".")), text) for text in texts]


def _as_spoken(texts: list[str], rng: random.Random) -> list[str]:
    """Give sentences the endings of people who talk, most of them without a mark."""
    marks = rng.choice((("",), ("",), ("", "", *rng.sample(VARIANTS, 2)), ("", ".", "!")))
    styles = rng.choice(
        (("polite",), ("polite",), ("familiar",), ("familiar",), ("note", "familiar"), ("dialect", "familiar"))
    )
    spoken = [with_other_ending(text, rng.choice(styles), rng) + rng.choice(marks) for text in texts]
    return [f"({text})" if rng.random() < ASIDE_SHARE and "(" not in text else text for text in spoken]


def join(
    sentences: list[Sentence], rng: random.Random, footnotes: bool = False, listed: bool = False
) -> TrainingDocument:
    """Join sentences into a document, in one writer's style of ends and of white space between.

    Args:
      sentences: what it is made of.
      rng: the source of chance.
      footnotes: whether some sentences get a footnote mark.
      listed: whether it is a list for certain.
    """
    sentences = [sentence.varied(rng) for sentence in sentences]
    texts = _restyle([sentence.text for sentence in sentences], rng)
    draw = rng.random()
    glue: Callable[[str], str] = lambda text: " "  # noqa: E731, ARG005
    if len(texts) > 1 and (listed or rng.random() < LIST_SHARE) and not any(sentence.doubts for sentence in sentences):
        texts, inline = as_list(texts, rng)
        draw = 1 if inline else 0
    if draw < 0.12:
        glue = lambda text: "\n"  # noqa: E731, ARG005
    elif draw < 0.18:
        glue = lambda text: " " if text[-1].isalnum() else ""  # noqa: E731
    elif draw < 0.24:
        glue = lambda text: rng.choice((" ", " ", "\n", "\n\n"))  # noqa: E731, ARG005
    parts: list[str] = []
    ends: Ends = []
    doubts: Ends = []
    at = 0
    for sentence, text in zip(sentences, texts, strict=True):
        marked = text + (f"[{rng.randint(1, 40)}]" if footnotes and rng.random() < 0.4 else "")
        doubts += [at + doubt for doubt in sentence.doubts]
        ends.append(at + len(marked))
        between = glue(marked)
        parts += [marked, between]
        at += len(marked) + len(between)
    text = "".join(parts)
    if 0.24 <= draw < 0.30:
        text = _wrap(text, rng.randint(20, 60))
    return TrainingDocument(text, (np.array(ends),), np.array(doubts, dtype=np.int64), False)


def _wrap(text: str, width: int) -> str:
    """Break lines by width at spaces, as mail and terminals do; offsets stay the same."""
    characters, column = list(text), 0
    for at, character in enumerate(characters):
        column += 1
        if character == " " and column >= width:
            characters[at], column = "\n", 0
    return "".join(characters)
