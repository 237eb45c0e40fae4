"""Kiwi, through its kiwipiepy package: an extra."""

import importlib
from typing import Any, Final

from klue_beam.transforms.split.splitters.base import SplitterEntry, load_splitter
from klue_beam.transforms.split.splitters.fast import fast_version
from klue_beam.transforms.split.splitters.foreign import ForeignSplitter, require_package
from klue_beam.transforms.split.splitters.spans import Splitter

_REMEDY: Final = "Run `pip install 'klue-beam[kiwi]'`, or choose the default, `fast`."


def kiwi_version() -> str:
    """Name the versions of Kiwi and of the model that its result depends on.

    Raises:
      ModuleNotFoundError: if kiwipiepy is not installed.
    """
    return f"{require_package('kiwipiepy', _REMEDY)}+model-{require_package('kiwipiepy_model', _REMEDY)}"


class _Kiwi:
    def __init__(self) -> None:
        self._kiwi: Any = importlib.import_module("kiwipiepy").Kiwi(num_workers=1)

    def __call__(self, text: str) -> list[str]:
        # The text, not the offsets, is compared with the source: overlapping spans then show up as doubled characters.
        return [sentence.text for sentence in self._kiwi.split_into_sents(text)]


def kiwi_splitter(fallback: Splitter) -> ForeignSplitter:
    """Load Kiwi and its model.

    Raises:
      ModuleNotFoundError: if kiwipiepy is not installed.
    """
    kiwi_version()
    return ForeignSplitter("kiwi", _Kiwi(), fallback)


SPLITTER: Final = SplitterEntry(
    lambda: kiwi_splitter(load_splitter("fast")), lambda: f"{kiwi_version()}/fast-{fast_version()}"
)
