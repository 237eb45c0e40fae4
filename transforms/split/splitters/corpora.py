"""Where the training documents come from: the corpora of the data folder."""

import csv
import lzma
import random
import re
from pathlib import Path
from typing import Final

import numpy as np

from klue_beam.transforms.split.splitters.silver import (
    HANGUL_END,
    VARIANTS,
    Sentence,
    TrainingDocument,
    by_style,
    group,
    join,
    label,
    read_jsonl,
    silver_documents,
    with_doubts,
)
from klue_beam.transforms.split.splitters.spans import Splitter

REVIEWS: Final = 60_000
RELATION_SENTENCES: Final = 26_000
LAWS: Final = 60
LAW_CHARS: Final = 8000
JOINED_TIMES: Final = 5
"""Sentences that people have split are joined so often, each time in another order and another style."""

SPOKEN_FILE: Final = Path(__file__).with_name("spoken.txt")
"""A sentence a line; an empty line ends a conversation or a post."""

SPOKEN_TIMES: Final = 6
"""… and what was written for this project that many times more often."""

_SEED: Final = 7

_LOOKS_LIKE_TWO: Final = re.compile(r"[다요죠까][.!?][”’\"')\]]*\s")
"""KLUE-RE's texts are single sentences as a rule, but not all of them."""

_PARTICLE: Final = re.compile(r"(이?라[고는며]|하고|[은는이가을를의에도로과와]|으로|에서|이다)\b")


def training_documents(data: Path, kss: Splitter, kiwi: Splitter, cache: Path | None) -> list[TrainingDocument]:
    """Read the corpora, let the teachers split what no person has, and join what people have split.

    Args:
      data: the data folder, with `text`, `klue/train` and `ud`.
      kss: the teacher for ends with punctuation.
      kiwi: the second teacher, for ends without.
      cache: a folder to keep the teachers' work in, or None.
    """
    rng = random.Random(_SEED)  # noqa: S311
    documents = _taught(data, kss, kiwi, cache)
    for _ in range(JOINED_TIMES):
        documents += [*_joined(data, kss, cache, rng), *_treebanks(data, rng), *_spoken(rng)]
    return documents


def _taught(data: Path, kss: Splitter, kiwi: Splitter, cache: Path | None) -> list[TrainingDocument]:
    documents = []
    for name, texts in _texts(data).items():
        views = [label(texts, teacher, cache) for teacher in (kss, kiwi)]
        documents += silver_documents(texts, views, lines=name in ("boddari", "law"))
    return documents


def _texts(data: Path) -> dict[str, list[str]]:
    texts = {
        name: [record["text"] for record in read_jsonl(data / "text" / f"{name}.jsonl.xz")]
        for name in ("nsmc", "boddari", "law")
    }
    for name, count, chars in (("nsmc", REVIEWS, 1000), ("law", LAWS, LAW_CHARS)):
        chosen = random.Random(_SEED).sample(texts[name], min(count, len(texts[name])))  # noqa: S311
        texts[name] = [text[:chars] for text in chosen]
    return texts


def _joined(data: Path, kss: Splitter, cache: Path | None, rng: random.Random) -> list[TrainingDocument]:
    documents = []
    novels = [record["text"] for record in read_jsonl(data / "text" / "novel.jsonl.xz")]
    lines = [line for novel in novels for line in novel.split("\n") if line.strip()]
    documents += [join(part, rng) for part in group(with_doubts(lines, label(lines, kss, cache)), rng, 12)]

    news, reviews = _entity_sentences(data)
    sentences = with_doubts(news, label(news, kss, cache))
    documents += [join(part, rng) for part in group(rng.sample(sentences, len(sentences)), rng, 8)]
    sentences = with_doubts(reviews, label(reviews, kss, cache))
    documents += [join(part, rng) for part in group(by_style(sentences, rng), rng, 6)]

    records = read_jsonl(data / "klue" / "train" / "klue-re.jsonl.xz")
    named: dict[str, set[tuple[int, int]]] = {}
    for record in records:
        named.setdefault(record["sentence"].rstrip(), set()).update(
            (record[role]["start_idx"], record[role]["end_idx"] + 1) for role in ("subject_entity", "object_entity")
        )
    distinct = sorted(named.items())
    sentences = [
        Sentence(text, names=tuple(sorted(names)))
        for text, names in distinct
        if text == text.lstrip() and not _LOOKS_LIKE_TWO.search(text)
    ]
    sentences = random.Random(_SEED).sample(sentences, min(RELATION_SENTENCES, len(sentences)))  # noqa: S311
    documents += [join(part, rng, footnotes=rng.random() < 0.2) for part in group(sentences, rng, 8)]

    with (data / "klue" / "train" / "ynat.csv").open(encoding="utf-8", newline="") as rows:
        titles = [Sentence(row["title"].strip()) for row in csv.DictReader(rows)]
    titles = random.Random(_SEED).sample(titles, min(9000, len(titles)))  # noqa: S311
    documents += [join(part, rng, listed=True) for part in group(titles[6000:], rng, 8) if len(part) > 1]
    titles = titles[:6000]
    bodies = group(rng.sample(sentences, min(len(sentences), 3 * len(titles))), rng, 5)
    documents += [_headed(title, body, rng) for title, body in zip(titles, bodies, strict=False)]
    return documents


def _headed(title: Sentence, body: list[Sentence], rng: random.Random) -> TrainingDocument:
    """Put a headline on a line of its own before a text."""
    text = title.text + "\n"
    document = join(body, rng)
    ends = np.append(len(title.text), document.ends[0] + len(text))
    return TrainingDocument(text + document.text, (ends,), document.unknown + len(text), False)


def _entity_sentences(data: Path) -> tuple[list[str], list[str]]:
    """Give the sentences of KLUE-NER's train set: news, and reviews."""
    news: list[str] = []
    reviews: list[str] = []
    path = data / "klue" / "train" / "klue-ner.raw-sentences.tsv.xz"
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            name, text = line.rstrip("\n").split("\t")
            (reviews if name.endswith("nsmc") else news).append(text.strip())
    return news, reviews


def _treebanks(data: Path, rng: random.Random) -> list[TrainingDocument]:
    documents = []
    with lzma.open(data / "ud" / "kaist-emory.conllu.xz", "rt", encoding="utf-8") as lines:
        kaist = [Sentence(_attach_marks(line[2:].split())) for line in lines if line.startswith("# ")]
    documents += [join(part, rng) for part in group(kaist, rng, 10)]
    with lzma.open(data / "ud" / "ko_gsd-ud-train.conllu.xz", "rt", encoding="utf-8") as lines:
        gsd = [Sentence(line[9:].strip()) for line in lines if line.startswith("# text = ")]
    documents += [join(part, rng) for part in group(by_style(gsd, rng), rng, 6)]
    return documents


def _spoken(rng: random.Random) -> list[TrainingDocument]:
    """Give the conversations and posts written for this project, in pieces of different length, with some marks."""
    conversations = [part.split("\n") for part in SPOKEN_FILE.read_text(encoding="utf-8").strip().split("\n\n")]
    documents = []
    for _ in range(SPOKEN_TIMES):
        for lines in conversations:
            marks = rng.choice((("",), ("",), (".",), ("", "", ".", "!"), ("", "", *rng.sample(VARIANTS, 2))))
            sentences = [Sentence(line + rng.choice(marks) if HANGUL_END.search(line) else line) for line in lines]
            documents += [join(part, rng) for part in group(sentences, rng, 14)]
    return documents


def _attach_marks(tokens: list[str]) -> str:
    """Put the punctuation of a tokenised sentence back where it is written."""
    text, opened = "", set[str]()
    attach = True
    for mark in tokens:
        closes = mark in opened
        if closes or mark in (".", ",", "!", "?", "…", ")", "”", "’", "]", "...", "·", ":"):
            attach = True
        if text and not attach:
            text += " "
        text += mark
        attach = mark in ("(", "[", "“", "‘")
        if mark in "\"'" and not closes:
            opened.add(mark)
            attach = True
        opened -= {mark} if closes else set()
    return re.sub(r"(?<=[\"')”’]) (?=" + _PARTICLE.pattern + ")", "", text)
