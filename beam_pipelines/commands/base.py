"""What all commands share: how a call is parsed and explained, how heavy libraries are loaded, how an error is told."""

import argparse
import contextlib
import difflib
import importlib
import logging
import os
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType, ModuleType
from typing import Any, Final, NoReturn

from klue_beam.beam_pipelines.commands.values import format_size_bytes, parse_size_bytes
from klue_beam.transforms.base.printable import show

OK: Final = 0
INCOMPLETE: Final = 1
"""The work was begun and is not whole: the same command goes on from there."""

USAGE_ERROR: Final = 2
"""A wrong call, which starts nothing."""

PROGRAM: Final = "klue-beam"


class CallError(ValueError):
    """A call that cannot be understood."""


def suggest(given: str, known: Iterable[str], otherwise: str) -> str:
    """Write what a person probably meant.

    Args:
      given: what was written.
      known: what could have been.
      otherwise: the sentence where nothing is near.

    >>> suggest("--worker", ["--workers", "--threads"], "See --help.")
    'Did you mean --workers?'
    """
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else otherwise


def explain(error: BaseException) -> str:
    """Say what went wrong: the message of our own errors, and of the system's the path and what to check.

    >>> explain(FileNotFoundError(2, "No such file or directory", "a.tsv"))
    "A file could not be opened, got 'a.tsv': No such file or directory. Check the path."
    """
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or type(error).__name__
    remedy = "Check its permissions." if isinstance(error, PermissionError) else "Check the path."
    if isinstance(error, FileExistsError | NotADirectoryError):
        remedy = "A file is where a folder should be; name another path."
    name = "" if error.filename is None else f", got {os.fsdecode(error.filename)!r}"
    return f"A file could not be opened{name}: {error.strerror}. {remedy}"


def tell(command: str, what: object) -> None:
    """Write a line of a command to standard error, with its name in front."""
    print(f"{PROGRAM} {command}: {show(what)}", file=sys.stderr)


def run_command(
    command: str, work: Callable[[], int], *, mistakes: tuple[type[Exception], ...] = (ValueError, OSError, ImportError)
) -> int:
    """Do a command's work; what a person can mend ends in one line, not in a traceback.

    Args:
      command: its name.
      work: gives the exit code.
      mistakes: the errors that are a person's; any other is a fault of klue-beam's and keeps its traceback.

    Returns:
      The exit code: what `work` gave, 2 for a mistake, 1 after Ctrl-C.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads has enough, as in `klue-beam query … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at the end goes nowhere
        return OK
    except SystemExit as end:  # --help
        return OK if end.code is None else int(end.code)
    except mistakes as error:
        tell(command, explain(error))
        return USAGE_ERROR
    except KeyboardInterrupt:
        tell(command, "Stopped.")
        return INCOMPLETE


def handle_signals(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Let Ctrl-C and SIGTERM call a handler; a signal that the caller lets the process ignore stays ignored."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def load(command: str, module: str) -> ModuleType:
    """Import a module that takes its time, without what libraries say while they are imported.

    Args:
      command: for which.
      module: its name.
    """
    for name, value in _QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    before = logging.root.manager.disable
    # What imports say about parts of Beam that are not installed is nothing to a user.
    logging.disable(logging.WARNING)
    try:
        with _leaving_at_once(command):
            return importlib.import_module(module)
    finally:
        logging.disable(before)


_QUIET_LIBRARIES: Final = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
"""Bars for weights that load in milliseconds, and advice to programmers, in the midst of a command's own lines."""


@contextlib.contextmanager
def _leaving_at_once(command: str) -> Iterator[None]:
    """End the process in one line at Ctrl-C, while nothing has been begun.

    An exception raised in the middle of a library's import may be swallowed, or leave half a library behind.
    """

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        os.write(2, f"{PROGRAM} {command}: Stopped before anything was done.\n".encode())
        os._exit(INCOMPLETE)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handle_signals(leave)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def require_folder(option: str, path: str) -> None:
    """Refuse a path that cannot become a folder, before anything heavy is loaded.

    Args:
      option: what the path was given for.
      path: an existing folder, or one to be made.

    Raises:
      ValueError: if it, or what it would lie in, is a file or may not be written.
    """
    place = os.path.abspath(path)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    kind = "" if place == os.path.abspath(path) else f" {place!r} on the way to it"
    if not os.path.isdir(place):
        raise ValueError(f"`{option}` must be a folder, got {path!r}:{kind or ' it'} is a file. Name another path.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(
            f"`{option}` must be a folder that can be written, got {path!r}:{kind or ' it'} may not. "
            "Change its permissions, or name another path."
        )


def check_files(paths: Iterable[str]) -> None:
    """Refuse a file that is not there or may not be read, before anything heavy is loaded.

    Raises:
      OSError: if so.
    """
    for path in paths:
        with open(path, "rb"):
            pass


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Adds each option's default to its help, where it has one; wraps what is one paragraph."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(text, width, indent) if "\n" in text else textwrap.fill(text, width)

    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        default = action.default
        is_without = default is None or default is False or default in ("", [], argparse.SUPPRESS)
        if is_without or action.nargs == "?" or "(default:" in said:
            return said.removesuffix(".")
        return f"{said.removesuffix('.')} (default: {format_default(action)})"


def format_default(action: argparse.Action) -> str:
    """Write an option's default as a person would give it."""
    if action.type is parse_size_bytes and isinstance(action.default, int):
        return format_size_bytes(action.default).replace("%", "%%")
    return str(action.default).replace("%", "%%")


class CommandParser(argparse.ArgumentParser):
    """Parses the arguments of a command; what it cannot take is a CallError that says what to do."""

    def __init__(
        self, command: str, description: str, examples: Sequence[str], *, notes: str = "", **more: Any
    ) -> None:
        """Describe the command.

        Args:
          command: its name.
          description: what it does.
          examples: calls, shown at the end of the help.
          notes: shown before the examples.
          more: for argparse.ArgumentParser.
        """
        lines = [*notes.splitlines(), *([""] if notes else []), "Examples:" if len(examples) > 1 else "Example:"]
        super().__init__(
            prog=f"{PROGRAM} {command}",
            description=description,
            epilog="\n".join([*lines, *(f"  {example}" for example in examples)]),
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
            exit_on_error=False,
            **more,
        )
        self._command = command

    @property
    def option_names(self) -> tuple[str, ...]:
        """The options that it knows."""
        return tuple(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Refuse a call, in place of argparse's way of ending the process.

        Raises:
          CallError: always.
        """
        required = re.fullmatch(r"the following arguments are required: (.+)", message)
        if required is not None:
            names = ", ".join(f"`{name}`" for name in required[1].split(", "))
            raise CallError(f"{names} must be given, got none. `{self.prog} --help` explains them.")
        raise CallError(f"{message}. `{self.prog} --help` explains the options.")

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse what is known.

        Raises:
          CallError: on a value that an option cannot have.
          SystemExit: after --help.
        """
        try:
            return super().parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            raise CallError(_explain_argument(error)) from error

    def parse_args(self, args: Any = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse all.

        Raises:
          CallError: on an option that is not known, too.
          SystemExit: after --help.
        """
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            remedy = suggest(unknown[0].split("=")[0], self.option_names, f"`{self.prog} --help` lists them.")
            raise CallError(f"Each option must be one of `{self.prog}`, got {' '.join(unknown)!r}. {remedy}")
        return options

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            remedy = suggest(str(value), known, "Choose one of them.")
            raise argparse.ArgumentError(action, f"must be one of {', '.join(known)}, got {value!r}. {remedy}")


def _explain_argument(error: argparse.ArgumentError) -> str:
    name = f"`{error.argument_name}`" if error.argument_name else "The call"
    if error.message.startswith("expected "):
        return f"{name} must have a value, got none. Write one behind it."
    return f"{name} {error.message}"
