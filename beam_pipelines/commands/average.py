"""`klue-beam average`: one model folder whose weights are the mean of several."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from klue_beam.beam_pipelines.commands.model_card import CARD_FILE, new_model_folder
from klue_beam.transforms.models.checkpoints.checkpoint import load_model, save_model
from klue_beam.transforms.models.checkpoints.folders import resolve_folder
from klue_beam.transforms.training.averaging import average_models

DESCRIPTION: Final = (
    "Average the weights of models that `klue-beam train` trained on from the same model (other seeds, other orders of "
    "the rows): about as good as asking them all, at the cost of one. `klue-beam calibrate` comes after it."
)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="klue-beam average",
        description=DESCRIPTION,
        epilog="Example: klue-beam average --models seed-1 seed-2 --output mean",
    )
    add = parser.add_argument
    add("--models", required=True, nargs="+", metavar="FOLDER", help="model folders, or names of embedded models")
    add("--output", required=True, metavar="FOLDER", help="the new model folder")
    add("--name", help="what provenance calls the model (default: the output folder's name)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `klue-beam average`; the exit code is 0 when done, 2 for a wrong call."""
    args = build_parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        output = new_model_folder(args.output)
        loaded = [load_model(_find(name)) for name in args.models]
        models, tokenizers = [model for model, _ in loaded], [tokenizer for _, tokenizer in loaded]
        mean = average_models(models, tokenizers, args.name or output.resolve().name)
        save_model(mean, tokenizers[0], output)
        parts = "".join(f"- {Path(name).name}\n" for name in args.models)
        card = f"# {mean.spec.name}\n\nA multi-task model: the mean of the weights of\n\n{parts}"
        (output / CARD_FILE).write_text(card, encoding="utf-8")
    except (OSError, ValueError) as error:
        console.print(f"[red]{escape(str(error))}[/red]", highlight=False)
        return 2
    console.print(
        f"The mean of {len(loaded)} models is in {output}; fit it with `klue-beam calibrate`.", highlight=False
    )
    return 0


def _find(name: str) -> Path:
    folder = resolve_folder(name)
    if folder is None:
        raise ValueError(f"`--models` must be folders that `klue-beam train` wrote, got {name!r}. Check the path.")
    return folder
