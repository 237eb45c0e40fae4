"""The command line: `klue-beam annotate | verify | …`."""

import importlib
import importlib.metadata
import importlib.util
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

COMMANDS: Final = {
    "annotate": ("klue_beam.beam_pipelines.commands.annotate", "annotate text into Parquet"),
    "verify": ("klue_beam.beam_pipelines.commands.verify", "prove that each input record is in a dataset exactly once"),
    "evaluate": ("klue_beam.beam_pipelines.commands.evaluate", "score a model on labelled data"),
    "train": ("klue_beam.beam_pipelines.commands.train", "train a model"),
    "average": (
        "klue_beam.beam_pipelines.commands.average",
        "make one model of several that were trained on from the same one",
    ),
    "calibrate": ("klue_beam.beam_pipelines.commands.calibrate", "fit a trained model's probabilities"),
}
"""Each command with the module whose `main(arguments)` runs it, imported only then, and what it does."""

USAGE_ERROR: Final = 2
"""Exit code of a wrong call; 0 is success and 1 a job that could not account for every record."""


def _known_commands() -> dict[str, tuple[str, str]]:
    return {name: entry for name, entry in COMMANDS.items() if importlib.util.find_spec(entry[0]) is not None}


def _usage() -> str:
    lines = [f"  {name:<11}{what}" for name, (_, what) in _known_commands().items()]
    return "\n".join(
        [
            "Usage: klue-beam COMMAND [OPTION ...]",
            "",
            *lines,
            "",
            "klue-beam COMMAND --help explains a command. Exit codes: 0 when every record is accounted for, 1 when",
            "not, 2 for a wrong call, which starts nothing.",
        ]
    )


def _stop(*_: object) -> NoReturn:
    """Let SIGTERM end a job as Ctrl-C does."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
      arguments: the command and its options; those of the process if None.

    Returns:
      The exit code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else ""
    if name in ("", "-h", "--help", "help"):
        print(_usage(), file=sys.stdout if name else sys.stderr)
        return 0 if name else USAGE_ERROR
    if name in ("-V", "--version", "version"):
        print(f"klue-beam {importlib.metadata.version('klue-beam')}")
        return 0
    commands = _known_commands()
    if name not in commands:
        print(f"klue-beam: the command must be one of {', '.join(commands)}, got {name!r}.\n", file=sys.stderr)
        print(_usage(), file=sys.stderr)
        return USAGE_ERROR
    signal.signal(signal.SIGTERM, _stop)
    # What imports say about parts of Beam that are not installed is nothing to a user.
    logging.disable(logging.WARNING)
    run: Callable[[Sequence[str]], int] = importlib.import_module(commands[name][0]).main
    logging.disable(logging.NOTSET)
    return run(arguments[1:])
