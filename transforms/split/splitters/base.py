"""What a splitter is in the registry, and how one is loaded: once a process."""

import functools
import threading
from collections.abc import Callable
from typing import NamedTuple

from klue_beam.schemas.registry import SPLITTERS
from klue_beam.transforms.split.splitters.spans import Splitter


class SplitterEntry(NamedTuple):
    """A splitter as it is registered, in SPLITTERS or by an entry point `klue_beam.splitters`.

    Attributes:
      load: loads it; may raise ModuleNotFoundError.
      version: names everything that its result depends on, without loading it; may raise ModuleNotFoundError.
    """

    load: Callable[[], Splitter]
    version: Callable[[], str]


_loading = threading.RLock()


@functools.cache
def _load_once(name: str) -> Splitter:
    entry: SplitterEntry = SPLITTERS[name]
    return entry.load()


def load_splitter(name: str) -> Splitter:
    """Load a sentence splitter; a process loads each one once.

    Args:
      name: out of SPLITTERS, as `fast`, `kss`, `kiwi`, `newline` (a sentence a line) or `none` (a sentence a document).

    Returns:
      A callable text -> [(begin, end), …], half-open code points, with the batch twin `split_batch` over an Arrow
      string array. Spans are sorted, disjoint and not empty, and only white space (str.isspace) lies outside.

    Raises:
      ValueError: on another name.
      ModuleNotFoundError: if the package of the splitter is not installed.

    >>> load_splitter("fast")("밥을 먹었다. 맛있었다.")
    [(0, 7), (8, 13)]
    """
    SPLITTERS.require(name, "splitter")
    with _loading:
        return _load_once(name)


def splitter_version(name: str) -> str:
    """Name the version of a splitter, everything that its result depends on, without loading it.

    Raises:
      ValueError: on a name that `load_splitter` does not know.
      ModuleNotFoundError: if the package of the splitter is not installed.
    """
    SPLITTERS.require(name, "splitter")
    entry: SplitterEntry = SPLITTERS[name]
    return entry.version()
