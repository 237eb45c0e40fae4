"""The command line: `klue-beam annotate | verify | …`."""

import io
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from klue_beam.beam_pipelines.commands.base import (
    OK,
    PROGRAM,
    USAGE_ERROR,
    handle_signals,
    load,
    run_command,
    suggest,
)
from klue_beam.transforms.base.printable import show

COMMANDS: Final = {
    "annotate": ("klue_beam.beam_pipelines.commands.annotate", "annotate text into Parquet"),
    "verify": ("klue_beam.beam_pipelines.commands.verify", "prove that each input record is in a dataset exactly once"),
    "report": (
        "klue_beam.beam_pipelines.commands.report",
        "look at a dataset in a browser: counts, examples, one beside another",
    ),
    "show": ("klue_beam.beam_pipelines.commands.show", "draw sentences of a dataset in the terminal"),
    "query": ("klue_beam.beam_pipelines.commands.query", "ask a dataset by SQL"),
    "export": ("klue_beam.beam_pipelines.commands.export", "write a dataset in another format"),
    "evaluate": ("klue_beam.beam_pipelines.commands.evaluate", "score a model on labelled data"),
    "train": ("klue_beam.beam_pipelines.commands.train", "train a model"),
    "average": (
        "klue_beam.beam_pipelines.commands.average",
        "make one model of several that were trained on from the same one",
    ),
    "calibrate": ("klue_beam.beam_pipelines.commands.calibrate", "fit a trained model's probabilities"),
}
"""Each command with the module whose `main(arguments)` runs it, imported only then, and what it does.

These modules import nothing heavy: a command loads its libraries when its call has been understood."""


def _usage() -> str:
    lines = [f"  {name:<11}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: klue-beam COMMAND [OPTION ...]",
            "",
            *lines,
            "",
            "klue-beam COMMAND --help explains a command. Exit codes: 0 when every record is accounted for, 1 when",
            "not, 2 for a wrong call, which starts nothing.",
            "",
            "Example:",
            "  klue-beam annotate --input news.jsonl.xz --output annotated --preview",
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale without Korean must not end a command
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else ""
    if name in ("", "-h", "--help", "help"):
        print(_usage(), file=sys.stdout if name else sys.stderr)
        return OK if name else USAGE_ERROR
    if name in ("-V", "--version", "version"):
        import importlib.metadata  # noqa: PLC0415  no other command needs it

        print(f"klue-beam {importlib.metadata.version('klue-beam')}")
        return OK
    if name not in COMMANDS:
        remedy = suggest(name, COMMANDS, "`klue-beam --help` lists them.")
        print(f"{PROGRAM}: The command must be one of {', '.join(COMMANDS)}, got {show(repr(name))}. {remedy}",
              file=sys.stderr)  # fmt: skip
        return USAGE_ERROR

    def run() -> int:
        command: Callable[[Sequence[str]], int] = load(name, COMMANDS[name][0]).main
        handle_signals(_stop)
        return command(arguments[1:])

    return run_command(name, run)
