"""A run of `klue-beam average`."""

import argparse
from pathlib import Path

from klue_beam.beam_pipelines.commands.base import OK
from klue_beam.beam_pipelines.commands.model_card import CARD_FILE, new_model_folder
from klue_beam.beam_pipelines.views.consoles import open_console
from klue_beam.transforms.models.checkpoints.checkpoint import load_model, save_model
from klue_beam.transforms.models.checkpoints.folders import resolve_folder
from klue_beam.transforms.training.averaging import average_models


def run(args: argparse.Namespace) -> int:
    """Average models into a new folder.

    Args:
      args: of the command.

    Returns:
      The exit code.

    Raises:
      ValueError: if the models have no mean, or there is one in the folder.
      OSError: if a file cannot be read or written.
    """
    console = open_console(stderr=True)
    output = new_model_folder(args.output)
    loaded = [load_model(_find(name)) for name in args.models]
    models, tokenizers = [model for model, _ in loaded], [tokenizer for _, tokenizer in loaded]
    mean = average_models(models, tokenizers, args.name or output.resolve().name)
    save_model(mean, tokenizers[0], output)
    parts = "".join(f"- {Path(name).name}\n" for name in args.models)
    card = f"# {mean.spec.name}\n\nA multi-task model: the mean of the weights of\n\n{parts}"
    (output / CARD_FILE).write_text(card, encoding="utf-8")
    console.print(
        f"The mean of {len(loaded)} models is in {output}; fit it with `klue-beam calibrate`.", highlight=False
    )
    return OK


def _find(name: str) -> Path:
    folder = resolve_folder(name)
    if folder is None:
        raise ValueError(f"`--models` must be folders that `klue-beam train` wrote, got {name!r}. Check the path.")
    return folder
