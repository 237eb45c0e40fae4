"""`klue-beam show DIR`: sentences of a dataset, drawn in the terminal."""

import argparse
from collections.abc import Sequence
from typing import Final

from klue_beam.beam_pipelines.commands.base import OK, CommandParser, load, run_command, tell
from klue_beam.beam_pipelines.commands.values import whole_number

NAME: Final = "show"
DEFAULT_LIMIT: Final = 10
WIDTH_OF_A_FILE: Final = 100


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(
        NAME,
        "Draw sentences of a dataset with all that was found in them. Without a choice of sentences, a sample is "
        "drawn. Choices hold together: `--label LC --lowest ner` shows the least sure sentences that have a place.",
        [
            "klue-beam show annotated",
            "klue-beam show annotated --lowest ner --limit 20",
            "klue-beam show annotated --label per:title --sample 5 --seed 7",
            "klue-beam show annotated --doc news-01",
            "klue-beam show annotated --where \"topic.label = '경제' AND len(entities) > 3\"",
        ],
        notes="Exit codes: 0 if the sentences are drawn, 2 for a wrong call.",
    )
    parser.add_argument("dataset", metavar="DIR", help="the folder that was the --output of `klue-beam annotate`")
    parser.add_argument("--doc", metavar="ID", help="the sentences of this document, all unless --limit is given")
    parser.add_argument("--label", metavar="LABEL", help="sentences in which any task found this label")
    parser.add_argument("--where", metavar="SQL", help="a condition on the view `sentences`, see `klue-beam query`")
    order = parser.add_mutually_exclusive_group()
    order.add_argument("--sample", type=whole_number, metavar="N", help="a sample of N sentences")
    order.add_argument("--lowest", metavar="TASK", help="the sentences with this task's lowest scores, lowest first")
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="another number gives another sample")
    parser.add_argument(
        "--nested", action="store_true", help="draw trees nested, the root first, and not as arcs beside the words"
    )
    parser.add_argument(
        "--limit", type=whole_number, metavar="N", help=f"at most so many sentences (default: {DEFAULT_LIMIT})"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Draw sentences.

    Returns:
      0 if they are drawn, 2 for a wrong call.
    """
    return run_command(NAME, lambda: _show(arguments))


def _show(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(list(arguments))
    for name in ("sample", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"`--{name}` must be at least 1, got {value}. Leave it out for {DEFAULT_LIMIT}.")
    reader = load(NAME, "klue_beam.transforms.plan.dataset")
    picking = load(NAME, "klue_beam.transforms.report.picking")
    consoles = load(NAME, "klue_beam.beam_pipelines.views.consoles")
    drawing = load(NAME, "klue_beam.beam_pipelines.views.drawing")
    seed, limit = _order(options)
    choice = picking.Choice(
        doc=options.doc, label=options.label, where=options.where, lowest=options.lowest, seed=seed, limit=limit
    )
    rows = picking.pick_sentences(reader.open_dataset(options.dataset), choice)
    console = consoles.open_console(width_of_a_file=WIDTH_OF_A_FILE)
    for row in rows:
        console.print(drawing.draw_sentence(row, in_order=not options.nested))
        console.print()
    if not rows:
        tell(NAME, "No sentence is so.")
    return OK


def _order(options: argparse.Namespace) -> tuple[int | None, int | None]:
    """Give the seed and how many sentences are drawn; a sample is the choice where there is no other."""
    chosen = (options.doc, options.label, options.where, options.lowest)
    if options.sample is not None or all(one is None for one in chosen):
        return options.seed, min(filter(None, (options.sample, options.limit)), default=DEFAULT_LIMIT)
    return None, options.limit or (None if options.doc is not None else DEFAULT_LIMIT)
