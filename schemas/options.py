"""Fields of configurations that describe themselves: each becomes a command's option, with its help and default."""

import dataclasses
from collections.abc import Iterable
from typing import Any


def option(default: Any, help: str, *, metavar: str = "", unit: str = "", choices: Iterable[str] = ()) -> Any:
    """Give a dataclass field that is an option, too.

    Args:
      default: its value where it is left out; False makes it a switch.
      help: what it does, in a phrase; the default is shown behind it.
      metavar: what stands for the value in the help, N or SIZE where it is left out.
      unit: "bytes" for a size that may be written as 8MiB.
      choices: the values that it may have, or the registry of them, which is read when the option is made.
    """
    about = {"help": help, "metavar": metavar, "unit": unit, "choices": choices}
    return dataclasses.field(default=default, metadata=about)
