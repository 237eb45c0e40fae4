"""`klue-beam report DIR`: a dataset in one HTML file."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from klue_beam.beam_pipelines.commands.base import OK, CommandParser, load, run_command
from klue_beam.beam_pipelines.commands.values import whole_number

NAME: Final = "report"
DEFAULT_SAMPLE: Final = 300
MOST_SAMPLE: Final = 5_000


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(
        NAME,
        "Write an HTML file that shows what a dataset holds: labels and their scores, lengths, entities, relations, "
        "what was rejected, dropped or flagged, drift over the files, and a browser of sampled sentences. It asks no "
        "network.",
        [
            "klue-beam report annotated",
            "klue-beam report annotated --compare annotated-tiny --output both.html",
        ],
        notes="Exit codes: 0 if it is written, 2 for a wrong call or a dataset that cannot be read; then nothing is.",
    )
    parser.add_argument("dataset", metavar="DIR", help="the folder that was the --output of `klue-beam annotate`")
    parser.add_argument(
        "--compare", metavar="DIR2", help="another dataset of the same sources: both side by side, and what moved"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="what to write; nothing may be there (default: DIR-report.html)"
    )
    parser.add_argument(
        "--sample",
        type=whole_number,
        default=DEFAULT_SAMPLE,
        metavar="N",
        help="sentences to browse, and a few of each label, as far as 3 MB hold them; 0 for none",
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="another number gives another sample")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Write a report.

    Returns:
      0 if it is written, 2 for a wrong call.
    """
    return run_command(NAME, lambda: _report(arguments))


def _report(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(list(arguments))
    if not 0 <= options.sample <= MOST_SAMPLE:
        raise ValueError(
            f"`--sample` must be from 0 to {MOST_SAMPLE:,}, got {options.sample}. Leave it out for {DEFAULT_SAMPLE}."
        )
    output = options.output or f"{Path(options.dataset).resolve().name}-report.html"
    reader = load(NAME, "klue_beam.transforms.plan.dataset")
    page = load(NAME, "klue_beam.transforms.report.page")
    printable = load(NAME, "klue_beam.transforms.base.printable")
    compare: Any = None
    if options.compare is not None:
        compare = (_name(options.compare), reader.open_dataset(options.compare))
    dataset = reader.open_dataset(options.dataset)
    size = page.write_report(
        dataset, output, name=_name(options.dataset), compare=compare, sample=options.sample, seed=options.seed
    )
    print(f"The report is in {printable.show(shlex.quote(output))} ({size / 1e6:.1f} MB): open it in a browser.")
    return OK


def _name(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1] or path
