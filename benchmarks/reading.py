"""How much of what a model finds in running text is right: a sheet for readers, and what their verdicts come to.

    python -m benchmarks.reading draw --text news=boddari.jsonl.xz --text novel=novel.jsonl.xz --model small \
        --each 25 --seed 7 --sheet sheet.tsv
    python -m benchmarks.reading count sheet.tsv            # one reader
    python -m benchmarks.reading count mine.tsv theirs.tsv  # two readers of one sheet, blind to each other

`draw` takes documents of each text by the seed, splits and annotates them, and takes so many finds of each kind:
relations, entities, topics, cuts (the place between two sentences of a document). The sheet has a line a find, in an
order that tells nothing, without scores and without the model's name; those lie in a file beside it
(SHEET.key.jsonl). A reader writes into the column `verdict`: y (right), n (wrong), ? (cannot be told; it counts in
neither way), and may write a note. `count` prints the precision by kind, by text and by band of scores, each with its
95 % interval (Wilson); of two readings also how often they agree, Cohen's kappa, and what both call right.

What is right: a relation if the sentence says it, of these two, in this direction; an entity if span and type are
right; a topic if a reader would file the sentence there; a cut if a sentence ends there.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from beam_pipelines.options import format_of
from schemas.labels import TASKS
from transforms.config import ModelConfig, ReadConfig, require
from transforms.models.engine import Annotations
from transforms.models.loading import Engine, load_engines
from transforms.models.resolving import resolve_models
from transforms.models.training.texts import read_texts
from transforms.split import load_splitter

KINDS: Final = ("relation", "entity", "topic", "cut")
COLUMNS: Final = ("id", "kind", "text", "found", "sentence", "verdict", "note")
VERDICTS: Final = ("y", "n", "?")
BANDS: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0001)
_BLOCK_DOCUMENTS: Final = 20
_AROUND: Final = 60
"""Code points of a document that are shown before and after a cut."""


@dataclasses.dataclass(frozen=True, slots=True)
class Find:
    """Something that a model found.

    Attributes:
      kind: one of KINDS.
      text: the name of the text that it is from.
      found: what it is, as a reader reads it.
      sentence: where it stands.
      score: the model's; 1 for a cut, which has none.
      label: its type, relation or topic; empty for a cut.
      model: whose.
    """

    kind: str
    text: str
    found: str
    sentence: str
    score: float
    label: str
    model: str

    def identify(self) -> str:
        """Name the find by what it is, whatever found it: two models' same find is read once."""
        told = "\0".join((self.kind, self.text, self.found, self.sentence))
        return hashlib.sha256(told.encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with a confidence interval.

    >>> share = Share(15, 50)
    >>> [round(100 * value, 1) for value in (share.value, *share.interval)]
    [30.0, 19.1, 43.8]
    """

    right: int
    of: int

    @property
    def value(self) -> float:
        """The share; 0 of nothing."""
        return self.right / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953)."""
        if not self.of:
            return 0.0, 1.0
        z = 1.959964
        middle = (self.value + z**2 / (2 * self.of)) / (1 + z**2 / self.of)
        spread = self.value * (1 - self.value) / self.of + z**2 / (4 * self.of**2)
        half = z / (1 + z**2 / self.of) * math.sqrt(spread)
        return max(0.0, middle - half), min(1.0, middle + half)


def find_in_documents(
    documents: Sequence[str], name: str, model: str, engines: Sequence[Engine], split: Callable[[str], Any]
) -> Iterator[Find]:
    """Split and annotate documents; give everything that is found, and every cut."""
    sentences: list[str] = []
    for document in documents:
        spans = [(begin, end) for begin, end in split(document) if document[begin:end].strip()]
        sentences += [document[begin:end] for begin, end in spans]
        for (_, end), (begin, _) in itertools.pairwise(spans):
            around = f"{document[max(0, end - _AROUND) : end]} ┃ {document[begin : begin + _AROUND]}"
            yield Find("cut", name, "┃", " ".join(around.split()), 1.0, "", model)
    for engine in engines:
        yield from _finds_of(sentences, name, model, engine.annotate(sentences))


def _finds_of(sentences: Sequence[str], name: str, model: str, found: Annotations) -> Iterator[Find]:
    if found.topics is not None:
        for sentence, label, score in zip(sentences, found.topics.label, found.topics.score, strict=True):
            if label >= 0:
                topic = found.topics.labels[label]
                yield Find("topic", name, topic, sentence, float(score), topic, model)
    entities = found.entities
    if entities is None:
        return
    shown = []
    for text, begin, end, label, score in zip(
        entities.text, entities.begin, entities.end, entities.label, entities.score, strict=True
    ):
        sentence, type_ = sentences[text], entities.labels[label]
        shown.append(f"{sentence[begin:end]}/{type_}")
        marked = f"{sentence[:begin]}⟦{sentence[begin:end]}⟧{sentence[end:]}"
        yield Find("entity", name, shown[-1], marked, float(score), type_, model)
    if found.relations is None:
        return
    relations = found.relations
    first = entities.offsets(len(sentences))
    for text, subject, object_, label, score in zip(
        relations.text, relations.subject, relations.object, relations.label, relations.score, strict=True
    ):
        relation = relations.labels[label]
        told = f"{shown[first[text] + subject]} —{relation}→ {shown[first[text] + object_]}"
        yield Find("relation", name, told, sentences[text], float(score), relation, model)


def draw(args: argparse.Namespace) -> None:
    """Write a sheet and its key."""
    torch.set_num_threads(args.threads)
    texts = dict(_pairs(args.text))
    kinds = args.kinds.split(",")
    require(set(kinds) <= set(KINDS), f"`--kinds` must be out of {', '.join(KINDS)}", args.kinds, "Correct it.")
    tasks = tuple(task for task in TASKS if task != "dp")
    split = load_splitter(args.splitter)
    drawn: dict[str, list[Find]] = defaultdict(list)
    for model in args.model:
        config = resolve_models(ModelConfig(tasks=tasks, models=dict.fromkeys(tasks, model), precision=args.precision))
        engines = load_engines(config)
        for name, path in texts.items():
            finds = _draw_text(name, path, model, engines, split, kinds, args)
            print(f"{model}, {name}: " + ", ".join(f"{kind} {len(some)}" for kind, some in finds.items()), flush=True)
            for some in finds.values():
                for find in some:
                    drawn[find.identify()].append(find)
    _write(Path(args.sheet), drawn, args.seed)


def _draw_text(
    name: str,
    path: str,
    model: str,
    engines: Sequence[Engine],
    split: Callable[[str], Any],
    kinds: Sequence[str],
    args: argparse.Namespace,
) -> dict[str, list[Find]]:
    """Annotate documents of a text until there is enough of each kind, then draw of each what is wanted."""
    documents = read_texts([path], ReadConfig(input_format=format_of(path) or "text"))
    seed = int.from_bytes(hashlib.sha256(f"{args.seed} {name}".encode()).digest()[:4], "big")
    order = np.random.default_rng(seed).permutation(len(documents))
    found: dict[str, list[Find]] = {kind: [] for kind in kinds}
    begin = 0
    while begin < min(len(order), args.max_documents) and any(len(s) < 4 * args.each for s in found.values()):
        block = [documents[i][: args.max_chars] for i in order[begin : begin + _BLOCK_DOCUMENTS]]
        for find in find_in_documents(block, name, model, engines, split):
            if find.kind in found:
                found[find.kind].append(find)
        begin += _BLOCK_DOCUMENTS
    # By a hash of the find, not by its number: two models that find the same get the same drawn.
    chosen = {}
    for kind, some in found.items():
        distinct = {find.identify(): find for find in some}
        keys = sorted(distinct, key=lambda key: hashlib.sha256(f"{args.seed} {key}".encode()).digest())
        chosen[kind] = [distinct[key] for key in keys[: args.each]]
    return chosen


def _write(path: Path, drawn: Mapping[str, Sequence[Find]], seed: int) -> None:
    keys = sorted(
        drawn, key=lambda key: (KINDS.index(drawn[key][0].kind), hashlib.sha256(f"{seed}{key}".encode()).digest())
    )
    lines = ["\t".join(COLUMNS)]
    for key in keys:
        find = drawn[key][0]
        cells = (key, find.kind, find.text, find.found, find.sentence, "", "")
        lines.append("\t".join(" ".join(cell.split()) for cell in cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with path.with_name(path.name + ".key.jsonl").open("w", encoding="utf-8") as file:
        for key in keys:
            for find in drawn[key]:
                told = {
                    "id": key,
                    "kind": find.kind,
                    "text": find.text,
                    "label": find.label,
                    "score": round(find.score, 4),
                }
                file.write(json.dumps({**told, "model": find.model}, ensure_ascii=False) + "\n")
    print(f"{len(keys)} finds to read in {path}; scores and models are in {path.name}.key.jsonl")


def read_sheet(path: Path) -> dict[str, str]:
    """Give the verdicts of a sheet by id; a line without one is left out.

    Raises:
      ValueError: if a line has other columns or another verdict.
    """
    verdicts = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    require(
        lines[:1] == ["\t".join(COLUMNS)], f"{path}, line 1 must be {', '.join(COLUMNS)}", lines[:1], "Draw it anew."
    )
    for number, line in enumerate(lines[1:], 2):
        cells = dict(zip(COLUMNS, line.split("\t"), strict=False))
        verdict = cells.get("verdict", "").strip().lower()
        if verdict:
            require(verdict in VERDICTS, f"{path}, line {number}: a verdict must be y, n or ?", verdict, "Correct it.")
            verdicts[cells["id"]] = verdict
    return verdicts


def read_key(path: Path) -> list[dict[str, Any]]:
    """Give what was found, with scores and models."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def count(args: argparse.Namespace) -> None:
    """Print what verdicts come to."""
    readings = [read_sheet(Path(sheet)) for sheet in args.sheets]
    key = read_key(Path(args.key or f"{args.sheets[0]}.key.jsonl"))
    console = Console()
    verdicts = combine(readings)
    for model in dict.fromkeys(entry["model"] for entry in key):
        own = [entry for entry in key if entry["model"] == model]
        table = Table(
            "kind", "of", "right", "read", "precision", "95 %", title=f"{model}: what the reader called right"
        )
        for kind, group, share in tabulate(own, verdicts):
            low, high = share.interval
            cells = (f"{100 * share.value:.1f} %", f"{100 * low:.0f} to {100 * high:.0f}")
            table.add_row(kind, group, str(share.right), str(share.of), *cells)
        console.print(table)
    if len(readings) == 2:
        for kind in KINDS:
            ids = {entry["id"] for entry in key if entry["kind"] == kind} & set(readings[0]) & set(readings[1])
            if ids:
                agreed, kappa = agreement([(readings[0][i], readings[1][i]) for i in sorted(ids)])
                console.print(f"{kind}: {len(ids)} read by both, {100 * agreed:.1f} % alike, kappa {kappa:.2f}")


def combine(readings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Join readings: right is what all who read it call right; what one cannot tell, another may.

    >>> combine([{"a": "y", "b": "y", "c": "?"}, {"a": "y", "b": "n", "c": "n"}])
    {'a': 'y', 'b': 'n', 'c': 'n'}
    """
    joined: dict[str, str] = {}
    for reading in readings:
        for key, verdict in reading.items():
            before = joined.get(key, "?")
            joined[key] = verdict if before == "?" else "n" if "n" in (before, verdict) else "y"
    return joined


def tabulate(key: Iterable[Mapping[str, Any]], verdicts: Mapping[str, str]) -> Iterator[tuple[str, str, Share]]:
    """Give kind, group and share of what is right: of all, of each text, of each label, of each band of scores."""
    read = [(entry, verdicts[entry["id"]]) for entry in key if verdicts.get(entry["id"], "?") != "?"]
    for kind in KINDS:
        own = [(entry, verdict) for entry, verdict in read if entry["kind"] == kind]
        if not own:
            continue
        groups: dict[str, list[str]] = {"all": [verdict for _, verdict in own]}
        for entry, verdict in own:
            groups.setdefault(f"text {entry['text']}", []).append(verdict)
        for entry, verdict in own:
            if entry["label"]:
                groups.setdefault(f"{entry['label']}", []).append(verdict)
        if kind != "cut":
            for low, high in itertools.pairwise(BANDS):
                band = [verdict for entry, verdict in own if low <= entry["score"] < high]
                if band:
                    groups[f"score {low:.1f} to {min(high, 1):.1f}"] = band
        for group, some in groups.items():
            yield kind, group, Share(some.count("y"), len(some))


def agreement(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Give the share of equal verdicts, and Cohen's kappa.

    >>> agreement([("y", "y"), ("n", "n"), ("y", "n"), ("n", "y")])
    (0.5, 0.0)
    """
    agreed = sum(one == other for one, other in pairs) / len(pairs)
    by_chance = (
        sum(
            sum(one == verdict for one, _ in pairs) * sum(other == verdict for _, other in pairs)
            for verdict in VERDICTS
        )
        / len(pairs) ** 2
    )
    return agreed, (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else 1.0


def _pairs(items: Sequence[str]) -> Iterator[tuple[str, str]]:
    for item in items:
        name, found, path = item.partition("=")
        require(bool(found), "`--text` must be NAME=FILE", item, "Write news=boddari.jsonl.xz.")
        yield name, path


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reading", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw", help="write a sheet", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = drawing.add_argument
    add("--text", action="append", required=True, metavar="NAME=FILE", help="a kind of text; may be given again")
    add("--model", action="append", default=None, help="embedded model or folder; may be given again (default: small)")
    add("--each", type=int, default=25, help="finds of each kind, text and model")
    add("--kinds", default=",".join(KINDS), help="comma-separated")
    add("--splitter", default="fast", help="of documents into sentences")
    add("--max_documents", type=int, default=400, help="of a text, at most")
    add("--max_chars", type=int, default=3000, help="of a document, from its beginning")
    add("--precision", default="fp32", help="of the models")
    add("--seed", type=int, default=1, help="of what is drawn")
    add("--sheet", required=True, help="the file to write")
    add("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    counting = commands.add_parser("count", help="print what verdicts come to")
    counting.add_argument("sheets", nargs="+", help="sheets with verdicts, one a reader")
    counting.add_argument("--key", help="the key (default: beside the first sheet)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is 0 when done, 2 for a wrong call."""
    args = build_parser().parse_args(argv)
    try:
        if args.command == "draw":
            args.model = args.model or ["small"]
            draw(args)
        else:
            count(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
