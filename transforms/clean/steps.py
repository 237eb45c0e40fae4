"""Steps of cleaning as they are asked for: `nfc,min_length:characters=20`."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from klue_beam.schemas.config import CleanStep, require
from klue_beam.schemas.registry import CLEANERS
from klue_beam.transforms.clean.base import Cleaner, OptionValue


def parse_steps(texts: Iterable[str]) -> tuple[CleanStep, ...]:
    """Read steps, in the order in which they are done.

    Args:
      texts: each NAME, NAME:option=value, with further options and steps behind commas.

    Raises:
      ValueError: on a name that is no cleaner's, and on an option or a value that it does not take.

    >>> parse_steps(["nfc,min_length:characters=20"])[1].options
    {'characters': 20}
    """
    steps: list[tuple[str, dict[str, str]]] = []
    for piece in (piece.strip() for text in texts for piece in text.split(",")):
        name, colon, option = piece.partition(":")
        if not colon and "=" in piece and steps:
            name, option = steps[-1][0], piece
        elif piece:
            steps.append((name.strip(), {}))
        if option:
            key, equals, value = option.partition("=")
            require(bool(equals), "`--clean` must have options as option=value", piece, "Write NAME:option=value.")
            steps[-1][1][key.strip()] = value.strip()
    return complete_steps([CleanStep(name=name, options=options) for name, options in steps])


def complete_steps(steps: Sequence[CleanStep]) -> tuple[CleanStep, ...]:
    """Fill in the options that are left out and the versions of the cleaners.

    Raises:
      ValueError: on an option that a cleaner does not have, or a value that is not of its type.
    """
    return tuple(_complete(step) for step in steps)


def _complete(step: CleanStep) -> CleanStep:
    cleaner: Cleaner = CLEANERS[step.name]
    known = cleaner.options
    for name in step.options:
        require(
            name in known,
            f"An option of the cleaner {step.name} must be one of {', '.join(known) or 'none: it has no options'}",
            name,
            "Leave it out.",
        )
    options = {name: _read_value(step, name, default) for name, default in known.items()}
    return CleanStep(name=step.name, options=options, version=cleaner.version)


def _read_value(step: CleanStep, name: str, default: OptionValue) -> OptionValue:
    value: Any = step.options.get(name, default)
    kind = type(default)
    if isinstance(value, str) and kind is not str:
        with contextlib.suppress(ValueError, KeyError):  # what cannot be read is refused below
            value = {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
    require(
        type(value) is kind,
        f"`{name}` of the cleaner {step.name} must be of type {kind.__name__}",
        value,
        f"Leave it out for the default of {default!r}.",
    )
    checked: OptionValue = value
    return checked
