"""Measure the sentence splitters: quality on gold files, speed against kss, and a soak that looks for lost characters.

  python -m benchmarks.splitting quality GOLD… [--splitters fast kss kiwi]
  python -m benchmarks.splitting lookalikes WORDS [--splitters fast kss kiwi]
  python -m benchmarks.splitting speed TEXTS [--bytes 1000000]
  python -m benchmarks.splitting soak TEXTS… [--splitters fast kss kiwi newline none]

GOLD is a file or a folder of files: a sentence a line (a trailing blank is the separator), an empty line ends a
document; a document's text is its lines joined as they stand, with a line break for each ⏎. WORDS is a .json file of
nouns that end like verbs, by kind, and of sentences to put them in. TEXTS is a .jsonl or .jsonl.xz file (or a folder of
them) with a field `text`.
"""

import argparse
import itertools
import json
import lzma
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.optimize import linear_sum_assignment

from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.registry import SPLITTERS
from klue_beam.transforms.base.codepoints import is_white_space
from klue_beam.transforms.split.sentences import FALLBACK_FLAG, load_splitter, split_sentences, splitter_version
from klue_beam.transforms.split.splitters.spans import Splitter, codes_of

Span = tuple[int, int]

SOAK_BATCH_BYTES: Final = 1_000_000
LOOKALIKE_SENTENCES: Final = 1000


class GoldDocument(NamedTuple):
    """A text and its sentences, half-open code points, without the white space around them."""

    text: str
    sentences: list[Span]


class Scores(NamedTuple):
    """Sums over gold sentences, so that files can be pooled by sentence."""

    exact: int
    dice: float
    normalised_dice: float
    gold: int
    predicted: int

    def plus(self, other: "Scores") -> "Scores":
        """Pool two sets of documents."""
        return Scores(
            self.exact + other.exact,
            self.dice + other.dice,
            self.normalised_dice + other.normalised_dice,
            self.gold + other.gold,
            self.predicted + other.predicted,
        )


def read_gold(path: Path) -> list[GoldDocument]:
    """Read a gold file."""
    documents: list[GoldDocument] = []
    lines: list[str] = []
    for line in [*path.read_text(encoding="utf-8").split("\n"), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            documents.append(_gold_document(lines))
            lines = []
    return documents


def _gold_document(lines: Iterable[str]) -> GoldDocument:
    text, sentences = "", []
    for line in (line.replace("⏎", "\n") for line in lines):
        begin = len(text) + len(line) - len(line.lstrip())
        sentences.append((begin, begin + len(line.strip())))
        text += line
    return GoldDocument(text, sentences)


def score_document(document: GoldDocument, predicted: Sequence[Span]) -> Scores:
    """Score a split as the KSS test does.

    The dice overlap of two sentences counts the characters that they share, white space left out. Each prediction
    serves one gold sentence, so that the sum is greatest. The normalised sum is cut by gold / predicted where a split
    has too many sentences.

    >>> document = _gold_document(["가나다. ", "라마바."])
    >>> score_document(document, [(0, 4), (5, 9)])
    Scores(exact=2, dice=2.0, normalised_dice=2.0, gold=2, predicted=2)
    >>> scores = score_document(document, [(0, 4), (5, 7), (7, 9)])
    >>> round(scores.dice, 3), round(scores.normalised_dice, 3)
    (1.667, 1.111)
    """
    solid = np.append(0, np.cumsum(~is_white_space(codes_of(document.text))))
    gold, found = solid[np.array(document.sentences)], solid[np.array(predicted)]
    begins = np.maximum(gold[:, None, 0], found[None, :, 0])
    shared = np.maximum(np.minimum(gold[:, None, 1], found[None, :, 1]) - begins, 0)
    dice = 2 * shared / (np.diff(gold) + np.diff(found).T)
    rows, columns = linear_sum_assignment(-dice)
    total = float(dice[rows, columns].sum())
    exact = len(set(document.sentences) & set(predicted))
    return Scores(exact, total, total * min(1, len(gold) / len(found)), len(gold), len(found))


def score(documents: Iterable[GoldDocument], splitter: Splitter) -> Scores:
    """Score a splitter on documents, pooled by sentence."""
    total = Scores(0, 0, 0, 0, 0)
    for document in documents:
        total = total.plus(score_document(document, splitter(document.text)))
    return total


def print_quality(paths: Sequence[Path], splitters: Sequence[str]) -> None:
    """Print exact match, F1 and normalised F1 of each splitter by file and pooled by sentence."""
    print(f"{'splitter':9} {'file':18} {'exact':>6} {'F1':>6} {'NF1':>6} {'gold':>6} {'found':>6}")
    for name in splitters:
        splitter = load_splitter(name)
        total = Scores(0, 0, 0, 0, 0)
        for path in _files(paths, (".txt",)):
            scores = score(read_gold(path), splitter)
            total = total.plus(scores)
            _print_scores(name, path.stem, scores)
        _print_scores(name, "pooled", total)


def _print_scores(name: str, file: str, scores: Scores) -> None:
    shares = " ".join(f"{total / scores.gold:6.4f}" for total in scores[:3])
    print(f"{name:9} {file:18} {shares} {scores.gold:6} {scores.predicted:6}")


def _files(paths: Sequence[Path], suffixes: tuple[str, ...]) -> list[Path]:
    found = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [file for file in found if file.name.endswith(suffixes)]


def read_texts(path: Path) -> Iterator[str]:
    """Read the field `text` of each record of a .jsonl or .jsonl.xz file."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def lookalike_sentences(path: Path) -> list[str]:
    """Put nouns that end like verbs into sentences, each noun into several: one thousand, well punctuated."""
    content = json.loads(path.read_text(encoding="utf-8"))
    drawn = random.Random(1)
    sentences = [
        template.format(word)
        for kind, words in content["words"].items()
        for word in words.split()
        for template in drawn.sample(content["templates"][kind], 5)
    ]
    return drawn.sample(sentences, LOOKALIKE_SENTENCES)


def count_cut(documents: Sequence[Sequence[str]], splitter: Splitter) -> list[str]:
    """Split documents, each given as its sentences with a space between; give the sentences that were cut."""
    cut = []
    for sentences in documents:
        ends = {end for _, end in splitter(" ".join(sentences))}
        begin = 0
        for sentence in sentences:
            inside = [end - begin for end in ends if begin < end < begin + len(sentence)]
            if inside:
                cut.append("|".join(sentence[a:b] for a, b in itertools.pairwise([0, *sorted(inside), len(sentence)])))
            begin += len(sentence) + 1
    return cut


def print_lookalikes(path: Path, splitters: Sequence[str]) -> None:
    """Print how many sentences with nouns that end like verbs a splitter cuts, alone and four to a document."""
    sentences = lookalike_sentences(path)
    for name in splitters:
        splitter = load_splitter(name)
        for size in (1, 4):
            documents = [sentences[first : first + size] for first in range(0, len(sentences), size)]
            cut = count_cut(documents, splitter)
            print(f"{name:9} {size} to a document: {len(cut)} of {len(sentences)} cut")
            print(*(f"    {sentence}" for sentence in cut[:5]), sep="\n")


def _kss_seconds(texts: list[str], answer: Connection) -> None:
    import kss  # noqa: PLC0415  (in the fresh process only)

    kss.split_sentences("불러온다.", backend="mecab", num_workers=1)
    answer.send(_cpu_seconds(lambda: [kss.split_sentences(text, backend="mecab", num_workers=1) for text in texts]))


def _cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _sample(path: Path, size_bytes: int) -> list[str]:
    """Take distinct texts from all over a file, up to a size."""
    texts = list(dict.fromkeys(text for text in read_texts(path) if text.strip()))
    total = sum(len(text.encode()) for text in texts)
    return texts[:: max(1, total // size_bytes)]


def print_speed(path: Path, size_bytes: int) -> None:
    """Print characters a CPU second of kss (as it comes, in a fresh process) and of `fast`, and their ratio."""
    texts = _sample(path, size_bytes)
    characters = sum(map(len, texts))
    print(f"{len(texts)} documents, {characters} characters, {characters / len(texts):.0f} characters a document")
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_kss_seconds, args=(texts, sender))
    process.start()
    seconds = {"kss, document by document": receiver.recv()}
    process.join()
    fast, array = load_splitter("fast"), pa.array(texts)
    fast("불러온다.")
    seconds["fast, document by document"] = _cpu_seconds(lambda: [fast(text) for text in texts])
    seconds["fast, one batch"] = _cpu_seconds(lambda: fast.split_batch(array))
    slowest = seconds["kss, document by document"]
    for name, spent in seconds.items():
        print(f"{name:28} {characters / spent:12,.0f} characters/s {slowest / spent:8.1f} x kss")


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    texts: list[str] = []
    size = first = 0

    def batch() -> pa.RecordBatch:
        count = len(texts)
        columns = [pa.array([str(number) for number in range(first, first + count)]), pa.array([str(path)] * count)]
        columns += [pa.array(range(first, first + count), pa.int64()), pa.array(texts), pa.nulls(count, pa.string())]
        return pa.RecordBatch.from_arrays(columns, schema=DOCUMENT)

    for text in read_texts(path):
        texts.append(text)
        size += len(text.encode())
        if size >= SOAK_BATCH_BYTES:
            yield batch()
            first, texts, size = first + len(texts), [], 0
    if texts:
        yield batch()


def find_fault(text: str, spans: Sequence[Span], sentences: Sequence[str]) -> str | None:
    """Name the first rule that a split breaks, or None.

    >>> find_fault("가. 나.", [(0, 2), (3, 5)], ["가.", "나."]) is None
    True
    >>> find_fault("가. 나.", [(0, 2)], ["가."])
    'more than white space lies outside the sentences: "나."'
    """
    past = 0
    for (begin, end), sentence in zip([*spans, (len(text), len(text))], [*sentences, ""], strict=True):
        if begin < past or (end <= begin and sentence):
            return f"spans overlap or are empty at {begin}"
        if outside := text[past:begin].strip():
            return f'more than white space lies outside the sentences: "{outside[:40]}"'
        if text[begin:end] != sentence:
            return f"a sentence is not the text at {begin}"
        past = end
    return None


def soak(paths: Sequence[Path], splitters: Sequence[str]) -> int:
    """Split all texts and check each split against its document; print and count the documents at fault."""
    faults = 0
    for name in splitters:
        splitter = load_splitter(name)
        for path in _files(paths, (".jsonl", ".jsonl.xz")):
            counts = dict.fromkeys(("documents", "characters", "sentences", "fallback sentences", "faults"), 0)
            begin = time.perf_counter()
            for rows in _batches(path):
                _check(rows, split_sentences(rows, splitter), counts)
            faults += counts["faults"]
            spent = time.perf_counter() - begin
            print(
                f"{name:8} {path.name:20}", *(f"{count:,} {what}" for what, count in counts.items()), f"{spent:.0f} s"
            )
            sys.stdout.flush()
    return faults


def _check(rows: pa.RecordBatch, sentences: pa.RecordBatch, counts: dict[str, int]) -> None:
    first = rows.column("record_index")[0].as_py()
    texts = rows.column("text").to_pylist()
    bounds = np.searchsorted(sentences.column("record_index").to_numpy() - first, np.arange(len(texts) + 1))
    begins, ends, cut, flags = (sentences.column(name).to_pylist() for name in ("begin", "end", "text", "flags"))
    for number, text in enumerate(texts):
        span = slice(int(bounds[number]), int(bounds[number + 1]))
        fault = find_fault(text, list(zip(begins[span], ends[span], strict=True)), cut[span])
        if fault:
            counts["faults"] += 1
            print(f"record {first + number}: {fault}")
    counts["documents"] += len(texts)
    counts["characters"] += sum(map(len, texts))
    counts["sentences"] += len(cut)
    counts["fallback sentences"] += sum(FALLBACK_FLAG in row for row in flags)


def main() -> int:
    """Run the command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.splitting", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    quality = commands.add_parser("quality", help="exact match, F1 and normalised F1 on gold files")
    lookalikes = commands.add_parser("lookalikes", help="sentences with nouns that end like verbs: how many are cut")
    speed = commands.add_parser("speed", help="characters a second, and the ratio to kss")
    soaking = commands.add_parser("soak", help="split all texts and check that no character is lost, added or moved")
    quality.add_argument("paths", type=Path, nargs="+")
    lookalikes.add_argument("path", type=Path)
    speed.add_argument("path", type=Path)
    speed.add_argument("--bytes", type=int, default=1_000_000, help="how much text is split")
    soaking.add_argument("paths", type=Path, nargs="+")
    for command in (quality, lookalikes):
        command.add_argument("--splitters", nargs="+", choices=SPLITTERS, default=["fast", "kss", "kiwi"])
    soaking.add_argument("--splitters", nargs="+", choices=SPLITTERS, default=SPLITTERS)
    options = parser.parse_args()
    if options.command == "speed":
        print_speed(options.path, options.bytes)
        return 0
    print(*(f"{name}: {splitter_version(name)}" for name in options.splitters), sep="\n")
    if options.command == "quality":
        print_quality(options.paths, options.splitters)
        return 0
    if options.command == "lookalikes":
        print_lookalikes(options.path, options.splitters)
        return 0
    return 1 if soak(options.paths, options.splitters) else 0


if __name__ == "__main__":
    sys.exit(main())
