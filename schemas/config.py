"""The configuration that all rows of a dataset share. It is stored in the plan and hashed."""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from klue_beam.schemas.options import option
from klue_beam.schemas.registry import CLEANERS, FORMATS, SPLITTERS, TASKS

TEXT_UNITS: Final = ("line", "block", "file")
DEFAULT_MODEL: Final = "small"
"""The embedded model that annotates where no other is named."""

AUTO_PRECISION: Final = "auto"
"""Stands for one of PRECISIONS until the plan is made: see klue_beam.transforms.evaluation.settling."""

PRECISIONS: Final = ("fp32", "bf16", "int8")

DEVICES: Final = ("auto", "cpu", "cuda")
"""Where models may run: a choice of a single run, as the number of threads, and no part of the configuration."""


CONFIG_VERSION: Final = 2
"""Of the form in which a configuration is stored. 1, which 0.1.0 wrote without saying so, has no cleaning."""

VERSION_FIELD: Final = "version"

KIB: Final = 1024
MIB: Final = 1024 * KIB


def require(condition: bool, rule: str, got: object, remedy: str) -> None:
    """Refuse a configuration value.

    Raises:
      ValueError: the rule, the value got and the remedy, where `condition` does not hold.

    >>> require(False, "`shard_bytes` must be at least 1", 0, "Leave it out for the default.")
    Traceback (most recent call last):
    ...
    ValueError: `shard_bytes` must be at least 1, got 0. Leave it out for the default.
    """
    if not condition:
        raise ValueError(f"{rule}, got {got!r}. {remedy}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig:
    """How sources become documents.

    Attributes:
      input_format: a name out of FORMATS.
      text_unit: what a document is in `text` input: a line, a block between blank lines, or the whole file.
      text_field, id_field: the fields of a jsonl record or the columns of a Parquet file.
      keep_metadata: carry a record's other fields as JSON.
      max_record_bytes: a longer record becomes a reject.
      shard_bytes: target size of a shard of a plain file, and of a segment of a stream, in (decompressed) bytes.
      batch_bytes: target size of the text in one chunk.
    """

    input_format: str = option(
        "text", "what a file holds: plain text, one JSON object a line, or Parquet", choices=FORMATS
    )
    text_unit: str = option(
        "line",
        "what one document is in a text file: a line, a block between blank lines, or the whole file",
        choices=TEXT_UNITS,
    )
    text_field: str = option("text", "the field or column that holds the text", metavar="NAME")
    id_field: str = option(
        "id",
        "the field or column that holds the document's id, a string or a number; where it is absent the id is made "
        "from the path and the record's number",
        metavar="NAME",
    )
    keep_metadata: bool = option(False, "carry a record's other fields along, as JSON in the column `metadata`")
    max_record_bytes: int = option(16 * MIB, "a longer record is rejected instead of read into memory", unit="bytes")
    shard_bytes: int = option(
        4 * MIB,
        "plain files are cut into shards of this size; a compressed file is committed in steps of it. A kill loses at "
        "most one such step of a worker",
        unit="bytes",
    )
    batch_bytes: int = option(
        128 * KIB,
        "text that goes through the models at a time; more pads less and takes more memory",
        unit="bytes",
    )

    def __post_init__(self) -> None:
        FORMATS.require(self.input_format, "input_format")
        units = ", ".join(TEXT_UNITS)
        require(self.text_unit in TEXT_UNITS, f"`text_unit` must be one of {units}", self.text_unit, "Choose one.")
        for name in ("max_record_bytes", "shard_bytes", "batch_bytes"):
            value = getattr(self, name)
            require(value >= 1, f"`{name}` must be at least 1", value, "Leave it out for the default.")
        for name in ("text_field", "id_field"):
            require(bool(getattr(self, name)), f"`{name}` must name a field", "", "Leave it out for the default.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which models annotate, and how.

    Attributes:
      tasks: names out of TASKS, in the order of TASKS; left out, those of klue-beam.
      models: for each task, the model's name (`small`, a folder, or a hub name).
      model_sha256: for each task, the hash of the model's files, taken when the plan is made.
      precision: one of PRECISIONS, or AUTO_PRECISION where it is not settled yet.
      token_budget: at most so many tokens, padding included, in one forward pass; None for what suits the device.
      max_pairs: at most so many candidate pairs of a sentence are scored for relations; a row that had more is flagged.
      re_markers: how a relation checkpoint of its own marks the two entities, see the task `re`.
      task_options: by name, the options that tasks of other packages bring.
    """

    tasks: tuple[str, ...] = TASKS.own
    models: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict.fromkeys(TASKS.own, DEFAULT_MODEL))
    model_sha256: Mapping[str, str] = dataclasses.field(default_factory=dict)
    precision: str = option(
        "fp32",
        "the numbers that the models compute in. auto tries them on a few sentences when the dataset is planned, and "
        "takes the fastest whose labels are those of fp32; the plan keeps what was taken",
        choices=(AUTO_PRECISION, *PRECISIONS),
    )
    token_budget: int | None = option(
        None,
        "at most so many tokens, padding included, in one forward pass (default: 4096, on a GPU 32768)",
    )
    max_pairs: int = 64
    re_markers: str = "klue"
    task_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASKS]
        require(
            bool(self.tasks) and not unknown,
            f"`tasks` must be a list out of {','.join(TASKS)}",
            ",".join(self.tasks),
            "Name at least one of them.",
        )
        require(
            self.precision in (AUTO_PRECISION, *PRECISIONS),
            f"`precision` must be one of {', '.join((AUTO_PRECISION, *PRECISIONS))}",
            self.precision,
            "Choose one of them.",
        )
        require(
            self.token_budget is None or self.token_budget >= 512,
            "`token_budget` must be at least 512",
            self.token_budget,
            "Raise it, or leave it out for what suits the device.",
        )
        require(self.max_pairs >= 1, "`max_pairs` must be at least 1", self.max_pairs, "Leave it out for the default.")

    def require_settled(self) -> None:
        """Refuse a precision that is still to be chosen.

        Raises:
          ValueError: if it is AUTO_PRECISION.
        """
        require(
            self.precision in PRECISIONS,
            f"`precision` must be settled, one of {', '.join(PRECISIONS)}",
            self.precision,
            "Choose one of them, or let `klue_beam.transforms.evaluation.settling.settle_precision` choose.",
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CleanStep:
    """One step of cleaning.

    Attributes:
      name: out of CLEANERS.
      options: of the cleaner; when a dataset is planned every one of them has its value.
      version: of the cleaner, filled in then, too.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: str = ""

    def __post_init__(self) -> None:
        CLEANERS.require(self.name, "clean")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AnnotateConfig:
    """Everything that decides what a dataset's rows say. Stored in the plan; another configuration is refused.

    A new field's default must keep the rows of datasets that were begun before there was the field.
    """

    read: ReadConfig = dataclasses.field(default_factory=ReadConfig)
    clean: tuple[CleanStep, ...] = ()
    keep_dropped: bool = option(False, "store the text of what cleaning drops, in _dropped")
    splitter: str = option(
        "fast",
        "what cuts documents into sentences; none takes a document as one sentence",
        choices=SPLITTERS,
    )
    splitter_version: str = ""
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        SPLITTERS.require(self.splitter, "splitter")

    def to_dict(self) -> dict[str, Any]:
        """Give the configuration as plain JSON types, with the version of its form."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return {VERSION_FIELD: CONFIG_VERSION, **fields}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "AnnotateConfig":
        """Read a configuration back from what `to_dict` gave, in this version or an earlier one.

        A field that was not there yet has its default: a new field's default keeps the rows as they were.

        Raises:
          ValueError: on a field that this version does not know, by name.
        """
        fields = dict(fields)
        version = fields.pop(VERSION_FIELD, 1)
        try:
            config: AnnotateConfig = _read_fields(cls, fields, "")
        except _UnknownFieldError as error:
            raise ValueError(
                f"A stored configuration must have fields that this version knows, got `{error}`: it was written by a "
                f"later version of klue-beam (its form is {version}, known is {CONFIG_VERSION}). Install that version."
            ) from error
        return config


class _UnknownFieldError(Exception):
    """The message is the field's name."""


def _read_fields(kind: Any, fields: Mapping[str, Any], prefix: str) -> Any:
    types = typing.get_type_hints(kind)
    known = {field.name: types[field.name] for field in dataclasses.fields(kind)}
    values = {}
    for name, value in fields.items():
        if name not in known:
            raise _UnknownFieldError(prefix + name)
        values[name] = _read_value(known[name], value, f"{prefix}{name}.")
    return kind(**values)


def _read_value(kind: Any, value: Any, prefix: str) -> Any:
    """Bring a value of JSON into the type of its field; JSON knows neither tuples nor dataclasses."""
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, prefix)
    if typing.get_origin(kind) is tuple:
        (item, *_) = typing.get_args(kind)
        return tuple(_read_value(item, inner, prefix) for inner in value)
    return value


def hash_config(stored: Mapping[str, Any]) -> str:
    """Hash a configuration as it is stored; a dataset's files and receipts carry the hash of its plan's."""
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def require_same_config(stored: Mapping[str, Any], asked: AnnotateConfig) -> None:
    """Refuse a configuration that is another than a stored one, field by field.

    Args:
      stored: as a plan holds it; fields that it does not have yet have their defaults.
      asked: what is wanted now.

    Raises:
      ValueError: naming each field that differs, or one that this version does not know.
    """
    old, new = (dict(_flatten(config.to_dict())) for config in (AnnotateConfig.from_dict(stored), asked))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if names:
        differences = "; ".join(f"{name} was {old.get(name)!r}, is {new.get(name)!r}" for name in names)
        raise ValueError(
            f"A dataset must keep its configuration, got another: {differences}. Choose another output folder, or give "
            "the old options."
        )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
