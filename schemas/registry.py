"""The registries: one plain dict for each kind of part that klue-beam can be extended by.

A new part is one file with one object, and one line here. A package of one's own adds parts by entry points, with no
line here: in its pyproject.toml

    [project.entry-points."klue_beam.tasks"]
    sentiment = "my_package.sentiment:TASK"

A part is named here and imported when it is first asked for, so that a command that needs one task loads one task.
"""

import importlib
import importlib.metadata
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

GROUP_PREFIX: Final = "klue_beam."


class Registry(Mapping[str, Any]):
    """Parts of one kind by name: those of klue-beam in the order given, then those of entry points by name.

    Args:
      kind: in the plural, as in the entry points' group `klue_beam.tasks`.
      own: for each part of klue-beam, its name and where its object is, "module:object".
    """

    def __init__(self, kind: str, own: Mapping[str, str]) -> None:
        self.kind = kind
        self._own = dict(own)
        self._places: dict[str, str] | None = None
        self._loaded: dict[str, Any] = {}
        self._lock = threading.RLock()

    @property
    def own(self) -> tuple[str, ...]:
        """The names of klue-beam's own parts, those of other packages left out."""
        return tuple(self._own)

    def places(self) -> Mapping[str, str]:
        """Tell where each part is, "module:object", without importing any.

        Raises:
          ValueError: if two packages register one name, or one registers a name of klue-beam's own.
        """
        with self._lock:
            if self._places is None:
                places = dict(self._own)
                for entry in sorted(importlib.metadata.entry_points(group=f"{GROUP_PREFIX}{self.kind}")):
                    if places.get(entry.name, entry.value) != entry.value:
                        raise ValueError(
                            f"Each name in {GROUP_PREFIX}{self.kind} must be registered once, got {entry.name!r} as "
                            f"{places[entry.name]} and as {entry.value}. Uninstall one of the two packages."
                        )
                    places[entry.name] = entry.value
                self._places = places
            return self._places

    def require(self, name: str, option: str) -> None:
        """Refuse a name that is not registered; nothing is imported.

        Args:
          name: the name.
          option: what the name was given for, as the user calls it.

        Raises:
          ValueError: naming those that are there.

        >>> FORMATS.require("doc", "input_format")
        Traceback (most recent call last):
        ...
        ValueError: `input_format` must be one of text, jsonl, parquet, got 'doc'. Choose one of them.
        """
        if name not in self.places():
            raise ValueError(f"`{option}` must be one of {', '.join(self)}, got {name!r}. Choose one of them.")

    def __getitem__(self, name: str) -> Any:
        with self._lock:
            if name not in self._loaded:
                module, _, attribute = self.places()[name].partition(":")
                self._loaded[name] = getattr(importlib.import_module(module), attribute)
            return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places())

    def __len__(self) -> int:
        return len(self.places())

    def __contains__(self, name: object) -> bool:
        return name in self.places()


FORMATS: Final = Registry(
    "formats",
    {
        "text": "klue_beam.transforms.formats.text:FORMAT",
        "jsonl": "klue_beam.transforms.formats.jsonl:FORMAT",
        "parquet": "klue_beam.transforms.formats.parquet:FORMAT",
    },
)
"""How files become documents: transforms.formats.base.Format."""

CLEANERS: Final = Registry(
    "cleaners",
    {
        "nfc": "klue_beam.transforms.clean.nfc:CLEANER",
        "min_length": "klue_beam.transforms.clean.min_length:DOCUMENTS",
        "min_sentence_length": "klue_beam.transforms.clean.min_length:SENTENCES",
    },
)
"""What changes or drops text before it is split: transforms.clean.base.Cleaner."""

SPLITTERS: Final = Registry(
    "splitters",
    {
        "fast": "klue_beam.transforms.split.splitters.fast:SPLITTER",
        "kss": "klue_beam.transforms.split.splitters.kss:SPLITTER",
        "kiwi": "klue_beam.transforms.split.splitters.kiwi:SPLITTER",
        "newline": "klue_beam.transforms.split.splitters.simple:NEWLINE",
        "none": "klue_beam.transforms.split.splitters.simple:NONE",
    },
)
"""What cuts documents into sentences: transforms.split.splitters.base.SplitterEntry."""

TASKS: Final = Registry(
    "tasks",
    {
        "tc": "klue_beam.transforms.tasks.topic:TASK",
        "ner": "klue_beam.transforms.tasks.entity:TASK",
        "re": "klue_beam.transforms.tasks.relation:TASK",
        "dp": "klue_beam.transforms.tasks.dependency:TASK",
    },
)
"""What is found in a sentence, in the order in which the columns stand: transforms.tasks.base.Task."""

EXPORTERS: Final = Registry("exporters", {"jsonl": "klue_beam.transforms.export.jsonl:EXPORTER"})
"""What writes a dataset in another format: transforms.export.base.Exporter."""

STORES: Final = Registry("stores", {"file": "klue_beam.transforms.base.stores.local:LocalStore"})
"""Where files lie, by the scheme of an address: transforms.base.stores.base.Store."""
