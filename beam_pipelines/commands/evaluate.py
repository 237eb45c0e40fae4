"""`klue-beam evaluate`: score a model on a file of KLUE with the transforms that annotate uses."""

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from klue_beam.beam_pipelines.commands.annotate import check_beam_flags
from klue_beam.beam_pipelines.graphs.gold import run_annotation, run_gold_pairs
from klue_beam.beam_pipelines.views.report import draw_report
from klue_beam.schemas.config import PRECISIONS, RE_MARKERS, ModelConfig, require
from klue_beam.schemas.labels import NO_RELATION, RELATIONS
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.evaluation.scoring import (
    Report,
    ScoredArc,
    ScoredMention,
    score_dependencies,
    score_entities,
    score_relations,
    score_topics,
)
from klue_beam.transforms.models.checkpoints.folders import resolve_folder
from klue_beam.transforms.models.engine.huggingface import find_checkpoint, read_labels
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.tasks.gold import (
    READERS,
    DependencyExample,
    EntityExample,
    Mention,
    RelationExample,
    TopicExample,
    halve_examples,
    split_dependency_examples,
)

ROWS: Final[Mapping[str, str]] = {
    "all": "all rows of the file",
    "held_out": "of KLUE-DP, the fifth of the rows that `train` leaves out: trained on the other rows of the official "
    "dev set, a model has no official dev score",
    "first_half": "a fixed half of the rows (of KLUE-DP, of the held-out ones), which `calibrate` fits on",
    "second_half": "the other half, which `calibrate` never sees",
}
"""Which of a file's rows can be scored. Both splits go by a seeded hash of the sentence."""

OK: Final = 0
USAGE_ERROR: Final = 2


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="klue-beam evaluate",
        description="Score a model on a file in KLUE's official format, by KLUE's metrics.",
        epilog="Every option of Apache Beam is taken too, as --runner. "
        "Example: klue-beam evaluate --task ner --data klue-ner-v1.1_dev.tsv --model small --json ner.json",
        allow_abbrev=False,
    )
    parser.add_argument("--task", required=True, choices=TASKS, help="what the file is of")
    parser.add_argument("--data", required=True, metavar="FILE", help="the labelled file; .gz .bz2 .xz .zst are read")
    parser.add_argument(
        "--rows",
        choices=tuple(ROWS),
        help="which rows to score: "
        + "; ".join(f"{name}: {note}" for name, note in ROWS.items())
        + " (default: held_out for dp, all for the others)",
    )
    parser.add_argument("--model", default="small", metavar="NAME", help="embedded model or folder (default: small)")
    for task in TASKS:
        parser.add_argument(f"--{task}_model", metavar="NAME", help=f"another model for {task}: a folder or hub name")
    defaults = ModelConfig()
    parser.add_argument("--re_markers", choices=RE_MARKERS, default=defaults.re_markers,
                        help="how a relation checkpoint of its own marks the entities (default: klue)")  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default=defaults.precision,
                        help="the numbers that the model computes in (default: fp32)")  # fmt: skip
    parser.add_argument("--token_budget", type=int, default=defaults.token_budget, metavar="N",
                        help="tokens in one forward pass at most (default: 4096, on a GPU 32768)")  # fmt: skip
    parser.add_argument("--max_pairs", type=int, default=defaults.max_pairs, metavar="N",
                        help="entity pairs of a sentence scored end to end at most (default: 64)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="threads of a worker process (default: the cores)")  # fmt: skip
    parser.add_argument("--json", metavar="OUT", help="write the scores to this file, too")
    parser.add_argument(
        "--work_dir",
        metavar="DIR",
        help="where the pipeline leaves its results for this process to read: a folder that all workers of the runner "
        "see (default: a folder for temporary files)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `klue-beam evaluate`.

    Returns:
      0 when the model was scored, 2 for a wrong call.

    Raises:
      RuntimeError: if the pipeline failed.
    """
    out, err = Console(), Console(stderr=True)
    options, flags = make_parser().parse_known_args(argv)
    try:
        check_beam_flags(flags, make_parser()._option_string_actions)
        rows = options.rows or ("held_out" if options.task == "dp" else "all")
        require(
            rows != "held_out" or options.task == "dp",
            "`--rows held_out` must go with the task dp",
            options.task,
            "Only its rows are split for training; leave the option out.",
        )
        require(options.threads >= 1, "`--threads` must be at least 1", options.threads, "Leave it out.")
        config = resolve_models(to_model_config(options, (options.task,)))
        if options.task == "re":
            require_relations(config.models["re"])
        examples = choose_rows(options.task, rows, READERS[options.task](options.data))
        require(bool(examples), "The file must hold a row to score", options.data, "Check --data and --rows.")
    except (ValueError, OSError) as error:
        err.print(Text(f"klue-beam evaluate: {error}"), soft_wrap=True)
        return USAGE_ERROR
    work = tempfile.TemporaryDirectory(dir=options.work_dir)
    with work as folder, err.status(f"Annotating {len(examples):,} rows"):
        report = evaluate(options, flags, config, examples, folder, err)
    name = config.models[options.task]
    draw_report(out, options.task, f"{name} on {options.data}", ROWS[rows], report)
    if options.json:
        fields = {"task": options.task, "data": options.data, "rows": report.rows, "model": name}
        text = json.dumps(fields | scores_of(report), ensure_ascii=False, indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return OK


def scores_of(report: Report) -> dict[str, Any]:
    """Give the scores that the JSON has: metrics, details, and the recall of mentions by type; null for no number."""
    scores = {name: _or_null(values) for name, values in (("metrics", report.metrics), ("details", report.details))}
    mentions = [_or_null(row._asdict()) for row in report.mentions]
    return scores | ({"mentions": mentions} if mentions else {})


def _or_null(values: Mapping[str, Any]) -> dict[str, Any]:
    """Put null in the place of NaN, which JSON does not have: nothing was there to measure."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def require_relations(model: str) -> None:
    """Refuse a model that has none of the relations that KLUE-RE's rows have.

    Raises:
      ValueError: if so.
    """
    labels = RELATIONS if resolve_folder(model) is not None else read_labels("re", find_checkpoint(model))
    require(
        bool(set(labels) & set(RELATIONS)),
        "`--re_model` must have relations of KLUE-RE to be scored on its rows",
        ", ".join(labels[:3]),
        "Name them in its id2label as KLUE does, per:title for instance.",
    )


def choose_rows(task: str, rows: str, examples: Sequence[Any]) -> Sequence[Any]:
    """Take the examples that one of ROWS names."""
    if rows == "all":
        return examples
    if task == "dp":
        examples = split_dependency_examples(examples)[1]
    return examples if rows == "held_out" else halve_examples(examples)[rows == "second_half"]


def to_model_config(options: argparse.Namespace, tasks: tuple[str, ...]) -> ModelConfig:
    """Give the model configuration that the options ask for, for some tasks.

    Raises:
      ValueError: if an option has a value that it cannot have.
    """
    return ModelConfig(
        tasks=tasks,
        models={task: getattr(options, f"{task}_model") or options.model for task in tasks},
        precision=options.precision,
        token_budget=options.token_budget,
        max_pairs=options.max_pairs,
        re_markers=options.re_markers,
    )


def evaluate(
    options: argparse.Namespace,
    flags: Sequence[str],
    config: ModelConfig,
    examples: Sequence[Any],
    folder: str,
    err: Console,
) -> Report:
    """Annotate the examples' sentences and score what comes out.

    Args:
      options: of the command.
      flags: those that are Beam's.
      config: what `resolve_models` gave for the task.
      examples: gold rows of the task.
      folder: where the pipeline may leave its results.
      err: told of what is left out.
    """
    if options.task != "re":
        rows = run_annotation(flags, config, examples, os.path.join(folder, "rows"), options.threads)
        return _SCORERS[options.task](examples, rows)
    probabilities = run_gold_pairs(flags, config, examples, os.path.join(folder, "pairs"), options.threads)
    try:
        both = resolve_models(to_model_config(options, ("ner", "re")))
    except ValueError as error:
        err.print(Text(f"The end-to-end score is left out: {error}"), soft_wrap=True)
        return score_relations(examples, probabilities)
    rows = run_annotation(flags, both, examples, os.path.join(folder, "rows"), options.threads)
    entities = [[entity for row in here for entity in _entities(row)] for here in rows]
    found = [_relation_of_gold_pair(example, here) for example, here in zip(examples, rows, strict=True)]
    return score_relations(examples, probabilities, found, entities)


def _entities(row: Mapping[str, Any]) -> list[ScoredMention]:
    """Read a row's entities, with offsets in the document."""
    begin = row["begin"]
    return [
        ScoredMention(Mention(begin + entity["begin"], begin + entity["end"], entity["label"]), entity["score"])
        for entity in row["entities"] or ()
    ]


def _relation_of_gold_pair(example: RelationExample, rows: Sequence[Mapping[str, Any]]) -> str:
    """Give the relation found between entities with the very spans of the gold pair, or no_relation."""
    for row in rows:
        spans = [(entity.mention.begin, entity.mention.end) for entity in _entities(row)]
        for relation in row["relations"] or ():
            if (spans[relation["subject"]], spans[relation["object"]]) == (example.subject[:2], example.object[:2]):
                return str(relation["label"])
    return NO_RELATION


def _score_topics(examples: Sequence[TopicExample], rows: Sequence[Sequence[Mapping[str, Any]]]) -> Report:
    topics = [here[0]["topic"] if here else None for here in rows]
    return score_topics(examples, [(topic["label"], topic["score"]) if topic else None for topic in topics])


def _score_entities(examples: Sequence[EntityExample], rows: Sequence[Sequence[Mapping[str, Any]]]) -> Report:
    return score_entities(examples, [[entity for row in here for entity in _entities(row)] for here in rows])


def _score_dependencies(examples: Sequence[DependencyExample], rows: Sequence[Sequence[Mapping[str, Any]]]) -> Report:
    trees = [here[0]["dependencies"] if here else None for here in rows]
    return score_dependencies(
        examples,
        [[ScoredArc(arc["head"], arc["deprel"], arc["score"]) for arc in tree] if tree else None for tree in trees],
    )


_SCORERS: Final[Mapping[str, Callable[[Any, Any], Report]]] = {
    "tc": _score_topics,
    "ner": _score_entities,
    "dp": _score_dependencies,
}


if __name__ == "__main__":
    sys.exit(main())
