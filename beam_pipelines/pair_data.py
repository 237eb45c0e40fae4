"""`python -m beam_pipelines.pair_data`: pairs of mentions as running text has them, to train relations on."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from beam_pipelines.options import format_of
from schemas.labels import UNRELATED_OBJECT_TYPES
from transforms.config import DEVICES, ModelConfig, ReadConfig
from transforms.formats.klue import Mention, read_re
from transforms.models.loading import Engine, load_engines
from transforms.models.precision import choose_device
from transforms.models.training.pair_rows import Guess, Guessed, make_pair_rows, save_pair_rows
from transforms.models.training.texts import read_texts, split_texts

CACHE_SUFFIX: Final = ".guessed.jsonl"
_BLOCK: Final = 256


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.pair_data",
        description="Let a model find mentions and relations in sentences; write pairs for `train --data re_pairs`. "
        "What it found is kept beside the output, so that the same command goes on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="small", help="finds the mentions of the sentences, and guesses at their relations")
    add("--re_data", required=True, help="KLUE-RE's rows")
    add("--text", nargs="*", default=[], metavar="FILE=N", help="so many sentences of a file, drawn by the seed")
    add("--output", required=True, help="the file of pairs")
    add("--max_pairs", type=int, default=8, help="of a sentence, beside KLUE-RE's own")
    add("--min_chars", type=int, default=20, help="shorter sentences of the files are left out")
    add("--max_chars", type=int, default=200, help="longer ones are left out")
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="of the model")
    add("--device", choices=DEVICES, default="auto", help="where it runs")
    add("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    add("--seed", type=int, default=1, help="of what is drawn")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is 0 when done, 2 for a wrong call."""
    args = build_parser().parse_args(argv)
    try:
        _run(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    examples = read_re(args.re_data)
    texts = list(dict.fromkeys(example.text for example in examples))
    others = list(dict.fromkeys(_draw_sentences(args)))
    config = ModelConfig(tasks=("ner", "re"), models=dict.fromkeys(("ner", "re"), args.model), precision=args.precision)
    engine = load_engines(config, choose_device(args.device, args.precision))[0]
    guessed = guess(engine, [*texts, *others], Path(args.output + CACHE_SUFFIX))
    kept = {text: found for text, found in guessed.items() if text in set(texts) or _has_pair(found)}
    rows = make_pair_rows(examples, kept, args.seed, max_pairs=args.max_pairs)
    save_pair_rows(Path(args.output), rows)
    pairs = [pair for row in rows for pair in row.pairs]
    related = sum(sum(p for label, p in pair.goal.items() if label != "no_relation") for pair in pairs)
    print(f"{len(rows):,} sentences, {len(pairs):,} pairs, {100 * related / len(pairs):.1f} % related in the mean")


def _draw_sentences(args: argparse.Namespace) -> Iterator[str]:
    for item in args.text:
        path, _, count = item.rpartition("=")
        if not path or not count.isdecimal():
            raise ValueError(f"`--text` must be FILE=N, got {item!r}. Write boddari.jsonl.xz=10000.")
        sentences = split_texts(read_texts([path], ReadConfig(input_format=format_of(path) or "text")))
        sentences = [one.strip() for one in sentences if args.min_chars <= len(one.strip()) <= args.max_chars]
        chosen = np.random.default_rng(args.seed).permutation(len(sentences))[: int(count)]
        yield from (sentences[i] for i in np.sort(chosen))


def _has_pair(found: Guessed) -> bool:
    return any(
        one is not other and one.type in UNRELATED_OBJECT_TYPES for one in found.mentions for other in found.mentions
    )


def guess(engine: Engine, texts: Sequence[str], cache: Path) -> Mapping[str, Guessed]:
    """Annotate texts, block by block; what the cache holds is not annotated again."""
    found = dict(_read_cache(cache)) if cache.exists() else {}
    left = sorted((text for text in texts if text not in found), key=len)
    began = time.monotonic()
    with cache.open("a", encoding="utf-8") as file:
        for begin in range(0, len(left), _BLOCK):
            block = left[begin : begin + _BLOCK]
            for text, fresh in zip(block, _annotate(engine, block), strict=True):
                found[text] = fresh
                file.write(json.dumps([text, *_as_lists(fresh)], ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            if begin // _BLOCK % 10 == 0:
                print(f"{time.monotonic() - began:.0f} s: {begin + len(block):,} of {len(left):,}", flush=True)
    return {text: found[text] for text in texts}


def _as_lists(found: Guessed) -> list[list[list[object]]]:
    """Give what was found as JSON can hold it."""
    return [[list(mention) for mention in found.mentions], [list(relation) for relation in found.relations]]


def _read_cache(path: Path) -> Iterator[tuple[str, Guessed]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return  # cut off while it was written; its sentence is annotated again
            text, mentions, relations = json.loads(line)
            yield text, Guessed(tuple(Mention(*m) for m in mentions), tuple(Guess(*r) for r in relations))


def _annotate(engine: Engine, texts: Sequence[str]) -> list[Guessed]:
    found = engine.annotate(texts)
    if found.entities is None or found.relations is None:
        raise AssertionError("an engine for entities and relations gives both")
    entities, relations = found.entities, found.relations
    mentions: list[list[Mention]] = [[] for _ in texts]
    for text, begin, end, label in zip(entities.text, entities.begin, entities.end, entities.label, strict=True):
        mentions[text].append(Mention(int(begin), int(end), entities.labels[label]))
    guesses: list[list[Guess]] = [[] for _ in texts]
    columns = (relations.text, relations.subject, relations.object, relations.label, relations.score)
    for text, subject, object_, label, score in zip(*columns, strict=True):
        guesses[text].append(Guess(int(subject), int(object_), relations.labels[label], round(float(score), 4)))
    return [Guessed(tuple(m), tuple(g)) for m, g in zip(mentions, guesses, strict=True)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
