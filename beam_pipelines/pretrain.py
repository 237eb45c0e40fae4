"""`python -m beam_pipelines.pretrain`: pre-train an encoder on plain texts, to begin `klue-beam train` with."""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from beam_pipelines.options import format_of
from transforms.config import DEVICES, ReadConfig, require
from transforms.formats.klue import read_re, read_tc
from transforms.models.pieces import TextTokenizer
from transforms.models.precision import choose_device
from transforms.models.training.corpus import CORPUS_FILE, Corpus, Source, build_corpus
from transforms.models.training.pretraining import (
    STATE_FILE,
    MaskedLanguageModel,
    PretrainConfig,
    Pretrainer,
    read_targets,
    without_dropout,
)
from transforms.models.training.texts import read_texts
from transforms.models.training.treebanks import read_head_final
from transforms.models.training.weak_entities import read_raw_sentences

KINDS: Final = ("tc", "re", "ner_raw", "dp_aux", "text")
"""What a file is, as `klue-beam train --data` names it."""

_OPTIONS: Final = {
    "rounds": "passes over all sources, each taken as often as --passes says",
    "batch_tokens": "tokens of one forward pass",
    "accumulate": "forward passes whose gradients make a step",
    "rate": "peak learning rate",
    "warmup_steps": "steps with a rising rate",
    "decay_share": "the last share of the steps, in which the rate falls to nothing",
    "weight_decay": "as in AdamW",
    "hidden_share": "share of the pieces that are hidden",
    "sentence_weight": "weight of the loss that keeps means of states; 0 for none",
    "seed": "of order and hiding",
    "checkpoint_seconds": "seconds between checkpoints",
    "evaluate_steps": "steps between losses on what is held out",
}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.pretrain",
        description="Pre-train an encoder on plain texts, from the weights that it has. The same command goes on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--encoder", required=True, help="folder of the encoder to begin with, with a tokenizer that marks words")
    add("--output", required=True, help="folder of the run; the encoder lies in it when the run is complete")
    add("--corpus", required=True, help="folder of the cut texts; made where it is not there")
    add(
        "--data",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help=f"texts to make the corpus of; NAME begins with one of {', '.join(KINDS)}: text.law=law.jsonl.xz",
    )
    add("--passes", nargs="*", default=[], metavar="NAME=N", help="passes over a source in one round (default: 1)")
    add("--targets", nargs="*", metavar="NAME", help="sources whose means of states are kept (default: all)")
    add("--start", metavar="FOLDER", help="go on from another run's checkpoint, on this run's schedule")
    for field in dataclasses.fields(PretrainConfig):
        if field.name in _OPTIONS:
            add(f"--{field.name}", type=type(field.default), default=field.default, help=_OPTIONS[field.name])
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16 is faster where the processor has it")
    add("--device", choices=DEVICES, default="auto", help="where to train; auto takes a GPU where torch sees one")
    add("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    add("--stop_after", type=int, help="stop after so many steps, with a checkpoint to go on from")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is 0 when done, 2 for a wrong call, 3 when stopped before the end."""
    args = build_parser().parse_args(argv)
    try:
        return 0 if _run(args) else 3
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> bool:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    folder = Path(args.output)
    passes = {name: float(value) for name, value in _pairs(args.passes).items()}
    options = {name: getattr(args, name) for name in _OPTIONS}
    config = PretrainConfig(passes=passes, bf16=args.precision == "bf16", **options)
    device = choose_device(args.device, args.precision)
    tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(args.encoder))
    corpus = _load_corpus(args, tokenizer)
    if unknown := sorted(set(passes) - set(corpus.names)):
        raise ValueError(f"`--passes` must name {', '.join(corpus.names)}, got {unknown[0]!r}. Choose one.")
    encoder = _load_encoder(args.encoder).to(device)
    targets = None
    if config.sentence_weight > 0:
        sources = None if args.targets is None else dict.fromkeys(args.targets, True)
        targets = read_targets(
            encoder, tokenizer, corpus, sources, Path(args.corpus), bf16=config.bf16, on_part=_Reporter("sentences")
        )
    model = MaskedLanguageModel(encoder, 0 if targets is None else targets.shape[1]).to(device)
    run = Pretrainer(model, tokenizer, corpus, config, folder, targets)
    run.resume(None if args.start is None else Path(args.start) / STATE_FILE)
    sizes = {name: int(corpus.lengths[corpus.source == number].sum()) for number, name in enumerate(corpus.names)}
    _say(f"pieces: {sizes}; {run.n_steps:,} steps, begun at {run.step:,}")
    complete = run.run(lambda report: _say(json.dumps(report, ensure_ascii=False)), args.stop_after)
    if complete:
        model.encoder.save_pretrained(folder)
        tokenizer.tokenizer.save_pretrained(folder)
        _say(f"Pre-trained. The encoder is in {folder}; use it with `klue-beam train --base {folder}`.")
    return complete


def _load_encoder(folder: str) -> Any:
    """Load an encoder in fp32, with attention as products, whose backward pass is several times faster."""
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").float()
    without_dropout(encoder)
    return encoder


def _load_corpus(args: argparse.Namespace, tokenizer: TextTokenizer) -> Corpus:
    folder = Path(args.corpus)
    if not (folder / CORPUS_FILE).exists():
        require(bool(args.data), "`--data` must be given where there is no corpus yet", "none", "Add NAME=FILE.")
        sources = [Source(name, _read(name, path), name.startswith("text")) for name, path in _pairs(args.data).items()]
        build_corpus(sources, tokenizer).save(folder)
    return Corpus.load(folder)


def _read(name: str, path: str) -> list[str]:
    """List the distinct texts of a file."""
    kind = name.partition(".")[0]
    if kind == "tc":
        texts = [example.text for example in read_tc(path)]
    elif kind == "re":
        texts = [example.text for example in read_re(path)]
    elif kind == "ner_raw":
        texts = read_raw_sentences(path)
    elif kind == "dp_aux":
        texts = [example.text for example in read_head_final(path)]
    elif kind == "text":
        texts = read_texts([path], ReadConfig(input_format=format_of(path) or "text"))
    else:
        raise ValueError(f"`--data` must name {', '.join(KINDS)}, got {name!r}. Choose one: text.law.")
    return list(dict.fromkeys(texts))


def _pairs(items: Sequence[str]) -> Mapping[str, str]:
    pairs = {}
    for item in items:
        name, found, value = item.partition("=")
        if not found:
            raise ValueError(f"A source must be given as NAME=VALUE, got {item!r}. Write text.law=law.jsonl.xz.")
        pairs[name] = value
    return pairs


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}", flush=True)


class _Reporter:
    """Says now and then how far a thing is."""

    def __init__(self, what: str) -> None:
        self._what, self._said = what, 0.0

    def __call__(self, done: int, of: int) -> None:
        if time.monotonic() - self._said > 60 or done == of:
            self._said = time.monotonic()
            _say(f"{self._what}: {done:,} of {of:,}")


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.exit(main(sys.argv[1:]))
