"""Fields of a labelled record, taken with their types checked.

What is wrong raises KeyError for an absent field, TypeError or ValueError for any other; `read_records` of gold.py
names the place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Record = Mapping[str, Any]
"""A JSON object, or a row of a CSV file by its header."""

SHOWN_CHARS: Final = 80
"""So much of a wrong value is shown."""


def take_guid(record: Record, otherwise: str) -> str:
    """Give a record's name: its `guid`, `id` or `index`, or else what is given."""
    return next((str(record[name]) for name in ("guid", "id", "index") if record.get(name) is not None), otherwise)


def take_string(record: Record, name: str) -> str:
    """Give a field that must be text.

    Raises:
      KeyError: if it is absent.
      TypeError: if it is no string.
      ValueError: if it has a lone surrogate.
    """
    return check_string(record[name], name)


def check_string(value: object, name: str) -> str:
    r"""Refuse what is no text, or has a lone surrogate (half of a character, written as \ud83d), which UTF-8 has not.

    Raises:
      TypeError, ValueError: if so.
    """
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string, got {shorten(value)}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`{name}` must be text that UTF-8 can hold, got a lone surrogate, {value[error.start]!r}, at character "
            f"{error.start}."
        ) from error
    return value


def take_label(record: Record, name: str, allowed: Sequence[str]) -> str:
    """Give a field that must be one of some labels.

    Raises:
      KeyError, TypeError, ValueError: as `take_string`; ValueError for any other label.
    """
    value = take_string(record, name)
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {value!r}.")
    return value


def take_int(record: Record, name: str) -> int:
    """Give a field that must be a whole number.

    Raises:
      KeyError: if it is absent.
      TypeError: if it is none.
    """
    value = record[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be a whole number, got {shorten(value)}.")
    return value


def take_object(record: Record, name: str) -> Record:
    """Give a field that must be a JSON object.

    Raises:
      KeyError: if it is absent.
      TypeError: if it is none.
    """
    value = record[name]
    if not isinstance(value, Mapping):
        raise TypeError(f"`{name}` must be a JSON object, got {shorten(value)}.")
    return value


def take_list(record: Record, name: str) -> Sequence[Any]:
    """Give a field that must be a JSON list.

    Raises:
      KeyError: if it is absent.
      TypeError: if it is none.
    """
    value = record[name]
    if not isinstance(value, list):
        raise TypeError(f"`{name}` must be a JSON list, got {shorten(value)}.")
    return value


def shorten(value: object) -> str:
    """Show a value in a message, the first part of a long one."""
    return repr(value)[:SHOWN_CHARS]
