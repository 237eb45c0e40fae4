"""The options of an annotation job, and how they become an AnnotateConfig."""

import argparse
from typing import Any

from klue_beam.beam_pipelines.commands.base import parse_size_bytes, whole_number
from klue_beam.schemas.config import (
    AUTO_PRECISION,
    INPUT_FORMATS,
    PRECISIONS,
    SPLITTERS,
    TEXT_UNITS,
    AnnotateConfig,
    ModelConfig,
    ReadConfig,
    require,
)
from klue_beam.schemas.registry import TASKS


def parse_tasks(text: str) -> tuple[str, ...]:
    """Read a list of tasks, in any order, into the order of TASKS.

    Raises:
      ValueError: on a name that is no task, on none, and on `re` without `ner`.

    >>> parse_tasks("ner, tc")
    ('tc', 'ner')
    """
    asked = {name.strip() for name in text.split(",") if name.strip()}
    require(
        bool(asked) and asked <= set(TASKS),
        f"`--tasks` must be a list out of {','.join(TASKS)}",
        text,
        "Name at least one of them, separated by commas.",
    )
    require(
        "re" not in asked or "ner" in asked,
        "`--tasks` with re must have ner too: a relation points to the row's entities",
        text,
        "Add ner, as in --tasks ner,re.",
    )
    return tuple(task for task in TASKS if task in asked)


def _add_input_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = ReadConfig()
    group = parser.add_argument_group("what is read")
    group.add_argument(
        "--input",
        nargs="+",
        action="extend",
        metavar="PATH",
        help="files, folders or globs ('dump/*.jsonl.xz'); may be given several times. .gz .bz2 .xz .zst are read as "
        "they are.",
    )
    group.add_argument(
        "--input_format",
        choices=INPUT_FORMATS,
        help="what a file holds: plain text, one JSON object per line, or Parquet. Left out, the suffix tells: "
        "x.jsonl.xz is jsonl, x.txt is text.",
    )
    group.add_argument(
        "--text_unit",
        choices=TEXT_UNITS,
        default=defaults.text_unit,
        help="what one document is in a text file: a line, a block between blank lines, or the whole file "
        "(default: %(default)s).",
    )
    group.add_argument(
        "--text_field",
        default=defaults.text_field,
        metavar="NAME",
        help="the field or column that holds the text.",
    )
    group.add_argument(
        "--id_field",
        default=defaults.id_field,
        metavar="NAME",
        help="the field or column that holds the document's id, a string or a number; where it is absent the id is "
        "made from the path and the record's number.",
    )
    group.add_argument(
        "--keep_metadata",
        action="store_true",
        help="carry a record's other fields along, as JSON in the column `metadata`.",
    )
    group.add_argument(
        "--max_record_bytes",
        type=parse_size_bytes,
        default=defaults.max_record_bytes,
        metavar="SIZE",
        help="a longer record is rejected instead of read into memory.",
    )


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--output",
        metavar="DIR",
        help="the dataset's folder. The same command into the same folder resumes; more inputs are added to it; "
        "another configuration is refused.",
    )
    group.add_argument(
        "--tasks",
        default=",".join(TASKS),
        metavar="LIST",
        help="which tasks to run: tc (topic), ner (entities), re (relations, needs ner), dp (dependency tree). "
        "A task that is left out costs nothing and has no column.",
    )
    group.add_argument(
        "--shard_bytes",
        type=parse_size_bytes,
        default=ReadConfig().shard_bytes,
        metavar="SIZE",
        help="plain files are cut into shards of this size at line ends; a compressed file is committed in steps of "
        "it. A kill loses at most one such step of a worker.",
    )
    group.add_argument(
        "--batch_bytes",
        type=parse_size_bytes,
        default=ReadConfig().batch_bytes,
        metavar="SIZE",
        help="text that goes through the models at a time; more pads less and takes more memory.",
    )


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = ModelConfig()
    group = parser.add_argument_group("how it is annotated")
    group.add_argument(
        "--model",
        default="small",
        metavar="NAME",
        help="the model for all tasks: an embedded one by name, or the folder of one that `klue-beam train` made "
        "(default: %(default)s).",
    )
    for task, kind in (
        ("tc", "sequence classification"),
        ("ner", "token classification"),
        ("re", "sequence classification over marked entities"),
        ("dp", "made by `klue-beam train`, or KLUE-baseline's dp-model.bin without parts of speech"),
    ):
        group.add_argument(
            f"--{task}_model",
            metavar="NAME",
            help=f"another model for {task}: a local folder or hub name ({kind}).",
        )
    group.add_argument(
        "--re_markers",
        default=defaults.re_markers,
        metavar="STYLE",
        help="how a relation checkpoint of its own marks the two entities.",
    )
    group.add_argument(
        "--splitter",
        choices=SPLITTERS,
        default="fast",
        help="what cuts documents into sentences; none takes a document as one sentence.",
    )
    group.add_argument(
        "--precision",
        choices=(AUTO_PRECISION, *PRECISIONS),
        default=defaults.precision,
        help="the numbers that the models compute in. auto tries them on a few sentences when the dataset is planned, "
        "and takes the fastest whose labels are those of fp32; the plan keeps what was taken.",
    )
    group.add_argument(
        "--token_budget",
        type=whole_number,
        default=defaults.token_budget,
        metavar="N",
        help="at most so many tokens, padding included, in one forward pass (default: 4096, on a GPU 32768).",
    )
    group.add_argument(
        "--max_pairs",
        type=whole_number,
        default=defaults.max_pairs,
        metavar="N",
        help="at most so many entity pairs of a sentence are scored for relations; a row that had more is flagged "
        "re_pairs_cut.",
    )


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what decides the rows of a dataset: inputs, output and configuration."""
    _add_input_arguments(parser)
    _add_output_arguments(parser)
    _add_model_arguments(parser)


def to_config(options: Any, input_format: str) -> AnnotateConfig:
    """Give the configuration that the options ask for, model hashes and splitter version not yet filled in.

    Args:
      options: a namespace with the attributes that `add_dataset_arguments` names.
      input_format: one of INPUT_FORMATS.

    Raises:
      ValueError: if an option has a value that it cannot have.
    """
    tasks = parse_tasks(options.tasks)
    named = {task: getattr(options, f"{task}_model") for task in TASKS}
    for task, name in named.items():
        require(
            name is None or task in tasks,
            f"`--{task}_model` must go with the task {task}",
            options.tasks,
            f"Add {task} to --tasks, or leave the option out.",
        )
    return AnnotateConfig(
        read=ReadConfig(
            input_format=input_format,
            text_unit=options.text_unit,
            text_field=options.text_field,
            id_field=options.id_field,
            keep_metadata=options.keep_metadata,
            max_record_bytes=options.max_record_bytes,
            shard_bytes=options.shard_bytes,
            batch_bytes=options.batch_bytes,
        ),
        splitter=options.splitter,
        model=ModelConfig(
            tasks=tasks,
            models={task: named[task] or options.model for task in tasks},
            precision=options.precision,
            token_budget=options.token_budget,
            max_pairs=options.max_pairs,
            re_markers=options.re_markers,
        ),
    )
