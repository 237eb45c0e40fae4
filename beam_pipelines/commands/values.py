"""Values of options: how they are written, and options made from the fields of a configuration."""

import argparse
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final


def whole_number(text: str) -> int:
    """Read a whole number.

    Raises:
      argparse.ArgumentTypeError: on anything else.
    """
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}. Write it in digits.") from None


def number(text: str) -> float:
    """Read a number.

    Raises:
      argparse.ArgumentTypeError: on anything else.
    """
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}. Write it in digits, as in 0.5.") from None


_UNIT_BYTES: Final = {"": 1, "B": 1}
_UNIT_BYTES.update({f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", start=1)})
_UNIT_BYTES.update({f"{letter}B": 1000**power for power, letter in enumerate("kMGT", start=1)})
_UNIT_BYTES["KB"] = 1000


def parse_size_bytes(text: str) -> int:
    """Read a size in bytes, with or without a unit.

    Raises:
      argparse.ArgumentTypeError: on anything else.

    >>> parse_size_bytes("8MiB"), parse_size_bytes("1.5 kB"), parse_size_bytes("4096")
    (8388608, 1500, 4096)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if found is None or found[2] not in _UNIT_BYTES:
        raise argparse.ArgumentTypeError(
            f"must be a number of bytes, or one with a unit as in 512KiB, 8MiB, 1GB, got {text!r}. Write it so."
        )
    return int(float(found[1]) * _UNIT_BYTES[found[2]])


def format_size_bytes(n_bytes: int) -> str:
    """Write a size in the largest binary unit that keeps it whole.

    >>> format_size_bytes(16 << 20), format_size_bytes(1500)
    ('16MiB', '1500')
    """
    for power, letter in reversed(list(enumerate("KMGT", start=1))):
        if n_bytes and n_bytes % 1024**power == 0:
            return f"{n_bytes // 1024**power}{letter}iB"
    return str(n_bytes)


_TYPES: Final[dict[type, Callable[[str], Any]]] = {int: whole_number, float: number, str: str}


def add_fields(
    group: Any, config: type, names: Sequence[str] | None = None, *, left_out: Mapping[str, str] | None = None
) -> None:
    """Add an option for each field of a dataclass that describes itself (klue_beam.schemas.options.option).

    Args:
      group: a parser, or a group of one.
      config: the dataclass.
      names: of its fields, None for all that are options.
      left_out: what it means that an option is left out, by name, where that is not the field's default; it is None
        then.
    """
    for field in dataclasses.fields(config):
        about, name = field.metadata, field.name
        if "help" not in about or (names is not None and name not in names):
            continue
        if isinstance(field.default, bool):
            group.add_argument(f"--{name}", action="store_true", help=about["help"])
            continue
        meaning = (left_out or {}).get(name)
        choices = tuple(about["choices"]) or None
        kind = next(kind for kind in _TYPES if kind is field.type or kind in getattr(field.type, "__args__", ()))
        group.add_argument(
            f"--{name}",
            type=parse_size_bytes if about["unit"] == "bytes" else _TYPES[kind],
            default=None if meaning else field.default,
            choices=choices,
            metavar=None if choices else about["metavar"] or ("SIZE" if about["unit"] == "bytes" else "N"),
            help=f"{about['help']} (default: {meaning})" if meaning else about["help"],
        )


def read_fields(args: argparse.Namespace, config: type) -> Any:
    """Make a dataclass of the options that `add_fields` added for it.

    Raises:
      ValueError: if the dataclass refuses a value.
    """
    return config(**{field.name: getattr(args, field.name) for field in dataclasses.fields(config)})
