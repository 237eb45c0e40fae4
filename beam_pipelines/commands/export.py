"""`klue-beam export DIR --to NAME --output PATH`: write a dataset in another format."""

from collections.abc import Sequence
from typing import Final

from klue_beam.beam_pipelines.commands.base import OK, CommandParser, load, run_command

NAME: Final = "export"


def make_parser() -> CommandParser:
    """Describe the command line."""
    from klue_beam.schemas.registry import EXPORTERS  # noqa: PLC0415  its entry points are looked up when needed

    parser = CommandParser(
        NAME,
        "Write an annotated dataset in another format. `--to` without a name lists the formats.",
        ["klue-beam export annotated --to jsonl --output annotated.jsonl"],
        notes="Exit codes: 0 if it is written, 2 for a wrong call or a dataset that cannot be read; then nothing is.",
    )
    parser.add_argument(
        "dataset", metavar="DIR", nargs="?", help="the folder that was the --output of `klue-beam annotate`"
    )
    parser.add_argument("--to", nargs="?", const="", metavar="NAME", help=f"the format: {', '.join(EXPORTERS)}")
    parser.add_argument("--output", metavar="PATH", help="what to write; nothing may be there yet")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Export a dataset.

    Returns:
      0 if it is written, 2 for a wrong call.
    """
    return run_command(NAME, lambda: _export(arguments))


def _export(arguments: Sequence[str]) -> int:
    parser = make_parser()
    options = parser.parse_args(list(arguments))
    if options.to == "":
        return _list_exporters()
    missing = [f"--{name}" for name in ("to", "output") if getattr(options, name) is None]
    missing = ["DIR"] * (options.dataset is None) + missing
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    base = load(NAME, "klue_beam.transforms.export.base")
    reader = load(NAME, "klue_beam.transforms.plan.dataset")

    from klue_beam.beam_pipelines.views.consoles import open_console  # noqa: PLC0415
    from klue_beam.beam_pipelines.views.progress import make_bar  # noqa: PLC0415

    out, err = open_console(), open_console(stderr=True)
    bar = make_bar("exporting sentences", err)
    with bar:
        task = bar.add_task("", total=None)
        dataset = reader.open_dataset(options.dataset, lambda rows: bar.advance(task, rows))
        bar.update(task, total=sum(receipt.counts["sentences"] for receipt in dataset.receipts()))
        base.export(dataset, options.to, options.output)
        written = int(bar.tasks[0].completed)
    out.print(f"{written:,} sentences were written to {options.output}", soft_wrap=True, markup=False, highlight=False)
    return OK


def _list_exporters() -> int:
    from klue_beam.schemas.registry import EXPORTERS  # noqa: PLC0415

    for name, exporter in EXPORTERS.items():
        print(f"{name:<14}{exporter.summary} ({exporter.suffix or 'a folder'})")
    return OK
