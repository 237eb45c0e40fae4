"""Where the time goes: each stage alone, the share of the models in a whole run, and a whole run against bare models.

    python -m benchmarks.stages --input TEXTS --model small
    python -m benchmarks.stages --input TEXTS --model checkpoints

Four things are measured on one thread, start-up left out and given beside:

  stages    characters a second of read, split, tokenise, forward, decode and write, each alone; the slowest is named
  share     of the time of a whole run (from the file to Parquet, on Beam, as a worker of `klue-beam annotate` runs it)
            the part that is spent in the tokenizer and the models
  padding   its share of the tokens that went through encoders
  overhead  sentences a second of the whole run against those of the bare models, called again on the very batches of
            tokens of that run and on nothing else
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from benchmarks.commits import Committed, measure_commits
from benchmarks.engine_parts import EngineWatch
from benchmarks.memory import measure as run_command
from benchmarks.random_checkpoints import SIZES, make_checkpoints
from benchmarks.report import describe_processor, new_table, run_in_folder
from benchmarks.samples import (
    MOST_BYTES,
    add_input_arguments,
    count_bytes,
    count_characters,
    read_chunks,
    read_documents,
    sample_documents,
)
from benchmarks.timing import Spent, time_call, use_one_thread
from benchmarks.whole_run import WholeRun, Worker, models_of
from klue_beam.schemas.config import PRECISIONS, ModelConfig
from klue_beam.schemas.shard import Chunk
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.split.sentences import load_splitter, split_sentences
from klue_beam.transforms.tasks.output import annotated_schema
from klue_beam.transforms.write.sink import provenance, write_segment

CHUNK_DOCUMENTS = 100
"""Documents of a thousand characters, as many as make a chunk of 128 KiB, more or less."""

COMMAND_SHARDS = 8

Stage = tuple[str, int, Spent]
"""A stage's name, how many characters passed it, and what that took."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_input_arguments(parser, 1000)
    parser.add_argument(
        "--model",
        default="small",
        metavar="NAME",
        help="a multi-task model by name or folder, or `checkpoints` for four random ones of --size "
        "(default: %(default)s).",
    )
    parser.add_argument(
        "--size", choices=SIZES, default="base", help="the encoders of `checkpoints` (default: %(default)s)."
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=ModelConfig().precision, help="(default: %(default)s)."
    )
    parser.add_argument(
        "--max_pairs",
        type=int,
        default=None,
        metavar="N",
        help="pairs scored in a sentence at most (default: that of `klue-beam annotate`; 2 with `checkpoints`, whose "
        "random entities would make far more pairs than real text has).",
    )
    parser.add_argument(
        "--command",
        action="store_true",
        help="run the command itself on the sample, too, in processes of its own; its clock runs from the first of its "
        "eight shards to the last.",
    )
    return parser


def time_reading(path: str) -> Stage:
    """Read the input as it lies, compressed or not, up to 16 MiB of text."""

    def read() -> int:
        size = characters = 0
        for chunk in read_chunks(path):
            size, characters = size + count_bytes(chunk.rows), characters + count_characters(chunk.rows)
            if size >= MOST_BYTES:
                break
        return characters

    characters, spent = time_call(read)
    return "read", characters, spent


def time_splitting(path: str) -> Stage:
    """Split the same text with the splitter `fast`, chunk by chunk."""
    splitter, documents = load_splitter("fast"), read_documents(path)
    batches = [documents.slice(begin, CHUNK_DOCUMENTS) for begin in range(0, documents.num_rows, CHUNK_DOCUMENTS)]
    _, spent = time_call(lambda: [split_sentences(rows, splitter) for rows in batches])
    return "split", count_characters(documents), spent


def split_chunks(run: WholeRun) -> list[Chunk]:
    """Read and split the sample of a run once more; chunks of SENTENCE rows."""
    splitter = load_splitter("fast")
    return [
        dataclasses.replace(chunk, rows=split_sentences(chunk.rows, splitter))
        for shard in run.job.plan.shards
        for chunk in read_shard(shard, run.job.config.read)
    ]


def time_annotating(
    run: WholeRun, chunks: Sequence[Chunk], watch: EngineWatch
) -> tuple[list[Stage], list[pa.RecordBatch]]:
    """Annotate the sentences of chunks; what neither tokenizer nor model takes is decoding and laying out."""
    watch.clear()
    rows, spent = time_call(lambda: [annotate(chunk.rows, run.engines)[0] for chunk in chunks])
    characters = sum(count_characters(chunk.rows) for chunk in chunks)
    decode = spent.minus(watch.tokenise).minus(watch.forward)
    parts = (("tokenise", watch.tokenise), ("forward", watch.forward), ("decode", decode))
    return [(name, characters, part) for name, part in parts], rows


def time_writing(run: WholeRun, chunks: Sequence[Chunk], folder: Path) -> Stage:
    """Write annotated chunks into a dataset of their own, checks and receipts included."""
    config = run.job.config
    schema, footer = annotated_schema(config.model.tasks), provenance(config, run.job.plan.config_hash)
    shards = {shard.shard_id: shard for shard in run.job.plan.shards}

    def write() -> None:
        for (shard_id, segment), group in itertools.groupby(chunks, lambda chunk: chunk.key[:2]):
            write_segment(group, dataset=folder, shard=shards[shard_id], segment=segment, schema=schema,
                          provenance=footer)  # fmt: skip

    _, spent = time_call(write)
    return "write", sum(count_characters(chunk.rows) for chunk in chunks), spent


def print_stages(console: Console, stages: Sequence[Stage]) -> None:
    """Print each stage, and the slowest beside the next."""
    rates = {name: characters / spent.cpu for name, characters, spent in stages}
    slowest, second = sorted(rates, key=rates.__getitem__)[:2]
    table = new_table("stage", "characters", "seconds", "CPU seconds", "characters/CPU second", "ratio to the slowest")
    for name, characters, spent in stages:
        table.add_row(name, f"{characters:,}", f"{spent.wall:.2f}", f"{spent.cpu:.2f}", f"{rates[name]:,.0f}",
                      f"{rates[name] / rates[slowest]:,.1f}")  # fmt: skip
    console.print(table)
    console.print(f"slowest: {slowest}; {second} is {rates[second] / rates[slowest]:.1f} times as fast\n")


def print_whole(console: Console, run: WholeRun, in_run: Spent, bare: Spent) -> None:
    """Print the share of tokenizer and models in a whole run, and the run's speed over that of bare models.

    Args:
      console: where to.
      run: the whole run.
      in_run: what tokenizer and models took of it.
      bare: what the models took alone.
    """
    table = new_table("", "seconds", "CPU seconds", "sentences/s", "ratio", "ratio of CPU time")
    for name, spent in (("whole run", run.spent), ("tokenise + forward in it", in_run), ("bare models", bare)):
        ratio = spent.ratio_to(run.spent)
        table.add_row(name, f"{spent.wall:.2f}", f"{spent.cpu:.2f}", f"{run.sentences / spent.wall:,.1f}",
                      f"{ratio.wall:.3f}", f"{ratio.cpu:.3f}")  # fmt: skip
    console.print(table)
    share, overhead = in_run.ratio_to(run.spent), bare.ratio_to(run.spent)
    console.print(f"share of tokenise + forward in the time of the whole run: {share.wall:.1%} "
                  f"({share.cpu:.1%} of CPU time)")  # fmt: skip
    console.print(f"ratio of the whole run's speed to the bare models': {overhead.wall:.3f} ({overhead.cpu:.3f} by CPU "
                  f"time); start-up left out: {run.startup.wall:.1f} s")  # fmt: skip


def run_whole_command(folder: Path, run: WholeRun) -> Committed:
    """Run `klue-beam annotate` on the sample with one worker, in processes of its own."""
    source, model = folder / "sample.jsonl", run.job.config.model
    arguments = ["--input", str(source), "--output", str(folder / "command"), "--workers", "1", "--threads", "1"]
    arguments += ["--precision", model.precision, "--max_pairs", str(model.max_pairs)]
    arguments += ["--shard_bytes", str(max(1, source.stat().st_size // COMMAND_SHARDS))]
    for task, name in model.models.items():
        arguments += [f"--{task}_model", name]
    run_command(arguments)
    return measure_commits(folder / "command", 1)


def print_command(console: Console, run: WholeRun, bare: Spent, committed: Committed) -> None:
    """Print the command's speed over that of the bare models."""
    rate, bare_rate = committed.sentences / committed.seconds, run.sentences / bare.wall
    console.print(
        f"ratio of the command's speed ({rate:,.1f} sentences/s after its first shard) to the bare models': "
        f"{rate / bare_rate:.3f}"
    )


def measure(call: argparse.Namespace, folder: Path, console: Console) -> None:
    """Run the sample whole, then stage by stage, and print it."""
    own = call.model == "checkpoints"
    models = make_checkpoints(folder / "models", SIZES[call.size]).models if own else models_of(call.model)
    max_pairs = call.max_pairs or (2 if own else ModelConfig().max_pairs)
    documents = sample_documents(call.input, call.sentences)
    worker = Worker(models, folder, documents, precision=call.precision, max_pairs=max_pairs)
    watch = EngineWatch(worker.engines, keep_calls=True)
    run = worker.run("sample", documents)
    in_run = watch.tokenise.plus(watch.forward)
    bare, padding = watch.replay(), watch.padding_share()
    watch.keep_calls = False
    console.print(
        f"{run.sentences} sentences of {call.input}, {run.characters} characters, {call.model}, {call.precision}, "
        f"at most {max_pairs} pairs a sentence, one thread, {describe_processor()}\n"
    )
    print_whole(console, run, in_run, bare)
    console.print(f"padding: {padding:.2%} of the tokens that went through encoders")
    if call.command:
        print_command(console, run, bare, run_whole_command(folder, run))
    console.print()
    chunks = split_chunks(run)
    annotating, rows = time_annotating(run, chunks, watch)
    annotated = [dataclasses.replace(chunk, rows=batch) for chunk, batch in zip(chunks, rows, strict=True)]
    writing = time_writing(run, annotated, folder / "again")
    print_stages(console, [time_reading(call.input), time_splitting(call.input), *annotating, writing])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of this module; gives the exit code."""
    call = make_parser().parse_args(arguments)
    use_one_thread()
    return run_in_folder("stages", lambda folder, console: measure(call, folder, console))


if __name__ == "__main__":
    sys.exit(main())
