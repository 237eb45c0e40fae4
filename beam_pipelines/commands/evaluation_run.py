"""A run of `klue-beam evaluate`, from its checked options to the scores."""

import argparse
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from klue_beam.beam_pipelines.commands.base import OK
from klue_beam.beam_pipelines.graphs.gold import run_annotation, run_gold_pairs
from klue_beam.beam_pipelines.views.report import draw_report
from klue_beam.schemas.config import ModelConfig, require
from klue_beam.schemas.labels import NO_RELATION, RELATIONS
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


def run(options: argparse.Namespace, flags: Sequence[str], rows: str, note: str) -> int:
    """Score a model and draw what it reaches.

    Args:
      options: of the command, checked.
      flags: those that are Beam's.
      rows: which rows of the file.
      note: what these are, for the report.

    Returns:
      The exit code.

    Raises:
      ValueError: if model and file do not go together.
      OSError: if a file cannot be read or written.
      RuntimeError: if the pipeline failed.
    """
    out, err = Console(), Console(stderr=True)
    config = resolve_models(to_model_config(options, (options.task,)))
    if options.task == "re":
        require_relations(config.models["re"])
    examples = choose_rows(options.task, rows, READERS[options.task](options.data))
    require(bool(examples), "The file must hold a row to score", options.data, "Check --data and --rows.")
    work = tempfile.TemporaryDirectory(dir=options.work_dir)
    with work as folder, err.status(f"Annotating {len(examples):,} rows"):
        report = evaluate(options, flags, config, examples, folder, err)
    name = config.models[options.task]
    draw_report(out, options.task, f"{name} on {options.data}", note, report)
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
