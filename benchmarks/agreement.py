"""How far the labels of a precision are those of fp32 on real sentences, and how much faster they come.

    python -m benchmarks.agreement --input ../shared/data/text/boddari.jsonl.xz --model small --precision int8

Both forms annotate the same chunks in turn in this process, so that whatever else the machine does falls on both. Each
kind of label is compared by itself: entities by span and label, relations by label among the entities that both forms
have, heads and dependency labels by eojeol. The share is the F1 of one form's labels against the other's, which is the
accuracy where each sentence or eojeol has one label. Exit code 1 if that of a kind is below --at_least.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from klue_beam.beam_pipelines.commands.inputs import infer_format
from klue_beam.beam_pipelines.commands.options import parse_tasks
from klue_beam.schemas.config import DEVICES, PRECISIONS, AnnotateConfig, ModelConfig, ReadConfig, require
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.evaluation.agreement import Agreement, compare_labels
from klue_beam.transforms.models.engine.loading import Engine, load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.models.nets.precision import choose_device
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.split.sentences import load_splitter, split_sentences

WARM_UP_SENTENCES: Final = 8
"""Annotated before the clocks start: what is made once, at the first pass, is no part of the speed."""


@dataclasses.dataclass(slots=True)
class Form:
    """One of the two forms, and what its annotating took.

    Attributes:
      precision: its name.
      engines: loaded.
      seconds: of processor time; on a GPU of time.
    """

    precision: str
    engines: Sequence[Engine]
    seconds: float = 0.0

    def annotate(self, rows: pa.RecordBatch, device: torch.device) -> pa.RecordBatch:
        """Annotate sentences by the clock."""
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        began = clock()
        annotated, _ = annotate(rows, self.engines)
        self.seconds += clock() - began
        return annotated


def read_sentences(inputs: Sequence[str], sentences: int) -> Iterator[pa.RecordBatch]:
    """Read the first sentences of some inputs, as `klue-beam annotate` reads and splits them, chunk by chunk."""
    config = AnnotateConfig(read=ReadConfig(input_format=infer_format(inputs)))
    splitter = load_splitter(config.splitter)
    for shard in make_plan(inputs, config).shards:
        for chunk in read_shard(shard, config.read):
            rows = split_sentences(chunk.rows, splitter).slice(0, sentences)
            sentences -= rows.num_rows
            if rows.num_rows:
                yield rows
            if not sentences:
                return


def make_table(precision: str, agreements: dict[str, Agreement]) -> Table:
    """Lay out the agreement by kind of label, and of all labels together."""
    table = Table("labels", "fp32", precision, "in both", "share, %", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    together = sum(agreements.values(), Agreement(0, 0, 0))
    for kind, found in {**agreements, "together": together}.items():
        numbers = [f"{number:,}" for number in (found.expected, found.found, found.same)]
        table.add_row(kind, *numbers, f"{100 * found.share:.2f}")
    return table


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--input", nargs="+", required=True, metavar="PATH", help="as of `klue-beam annotate`")
    parser.add_argument("--model", default="small", metavar="NAME", help="embedded model or folder (default: small)")
    parser.add_argument("--precision", required=True, choices=PRECISIONS, help="what is compared with fp32")
    parser.add_argument("--tasks", default=",".join(TASKS), metavar="LIST", help="which tasks (default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=2000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where both run (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of this process (default: %(default)s)")
    parser.add_argument("--at_least", type=float, default=99.5, metavar="PERCENT",
                        help="a kind of label with a smaller share is a failure (default: %(default)s)")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table.

    Returns:
      0, or 1 if a share is below `--at_least`.

    Raises:
      ValueError: on inputs, a model or a device that cannot be had.
    """
    call = make_parser().parse_args(arguments)
    require(call.sentences >= 1, "`--sentences` must be at least 1", call.sentences, "Leave it out for 2000.")
    torch.set_num_threads(call.threads)
    tasks = parse_tasks(call.tasks)
    config = resolve_models(ModelConfig(tasks=tasks, models=dict.fromkeys(tasks, call.model)))
    device = choose_device(call.device, call.precision)
    forms = [
        Form(precision, load_engines(dataclasses.replace(config, precision=precision), device))
        for precision in ("fp32", call.precision)
    ]
    agreements: dict[str, Agreement] = {}
    sentences = 0
    for rows in read_sentences(call.input, call.sentences):
        if not sentences:
            for form in forms:
                annotate(rows.slice(0, WARM_UP_SENTENCES), form.engines)
        expected, found = (form.annotate(rows, device) for form in forms)
        for kind, here in compare_labels(found, expected).items():
            agreements[kind] = agreements[kind] + here if kind in agreements else here
        sentences += rows.num_rows
    require(sentences > 0, "The input must hold a sentence", call.input, "Check --input.")
    console = Console()
    console.print(make_table(call.precision, agreements))
    rates = ", ".join(f"{form.precision} {sentences / form.seconds:,.1f}" for form in forms)
    console.print(
        f"{sentences:,} sentences of {', '.join(call.input)}, model {call.model}, on {device}", soft_wrap=True
    )
    console.print(
        f"sentences a second: {rates}; {call.precision} / fp32 {forms[0].seconds / forms[1].seconds:.2f}",
        soft_wrap=True,
    )
    return int(any(100 * found.share < call.at_least for found in agreements.values()))


if __name__ == "__main__":
    sys.exit(main())
