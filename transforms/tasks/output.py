"""The columns and flags of an annotated dataset, as the registered tasks give them."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.sentence import SENTENCE, SENTENCE_FLAGS
from klue_beam.transforms.tasks.base import Task


def order_tasks(tasks: Iterable[str], option: str = "tasks") -> tuple[str, ...]:
    """Bring names of tasks into the order of the registry, each once.

    Args:
      tasks: the names, in any order.
      option: what they were given for, as the user calls it.

    Raises:
      ValueError: on a name that is not registered.

    >>> order_tasks(["ner", "tc"])
    ('tc', 'ner')
    """
    asked = set(tasks)
    if unknown := sorted(asked.difference(TASKS)):
        raise ValueError(
            f"`{option}` must be out of {', '.join(TASKS)}, got {', '.join(unknown)}. Choose among these, or install "
            "the package that brings the task."
        )
    return tuple(task for task in TASKS if task in asked)


def order_by_needs(tasks: Iterable[str]) -> tuple[str, ...]:
    """Bring names of tasks into an order in which each runs after those that it needs, else that of the registry.

    Raises:
      ValueError: on a name that is not registered, or tasks that need each other in a ring.

    >>> order_by_needs(["re", "tc", "ner"])
    ('tc', 'ner', 're')
    """
    waiting = list(order_tasks(tasks))
    ordered: list[str] = []
    while waiting:
        ready = [task for task in waiting if not set(TASKS[task].needs) & set(waiting)]
        if not ready:
            raise ValueError(f"Tasks must not need each other in a ring, got {', '.join(waiting)}. Leave one out.")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return tuple(ordered)


def needs_of(tasks: Iterable[str]) -> set[str]:
    """Give the tasks whose findings these need and do not find themselves.

    >>> needs_of(["re"]), needs_of(["ner", "re"])
    ({'ner'}, set())
    """
    here = set(tasks)
    return {need for task in here for need in TASKS[task].needs} - here


def require_needs(tasks: Iterable[str], known: Iterable[str] = (), option: str = "tasks") -> None:
    """Refuse tasks that read what another task finds, where that is neither among them nor known.

    Args:
      tasks: names of the tasks that run.
      known: names of tasks whose findings are there already.
      option: what the tasks were given for, as the user calls it.

    Raises:
      ValueError: naming the two tasks.

    >>> require_needs(["re"], known=["ner"])
    """
    asked = order_tasks(tasks)
    for task in asked:
        if lacking := [need for need in TASKS[task].needs if need not in asked and need not in set(known)]:
            raise ValueError(
                f"`{option}` with {task} must have {lacking[0]} too, or rows that it has annotated: {task} reads what "
                f"it finds, got {','.join(asked)}. Add {lacking[0]}, as in "
                f"{','.join(order_by_needs([*asked, lacking[0]]))}."
            )


def annotated_schema(tasks: Iterable[str], *, metadata: bool = False) -> pa.Schema:
    """Give the schema of the annotated output for a set of tasks.

    Args:
      tasks: names of tasks, in any order. A column whose task was not asked for is absent.
      metadata: whether the record's other fields were asked for.

    Returns:
      The columns of SENTENCE up to `text`, the task columns in the order of the registry, `metadata` if asked for,
      `flags`.

    Raises:
      ValueError: on a name that is no task.

    >>> annotated_schema(["ner", "tc"]).names[-3:]
    ['topic', 'entities', 'flags']
    """
    fields = [field for field in SENTENCE if field.name not in ("metadata", "flags")]
    fields += [TASKS[task].field for task in order_tasks(tasks)]
    fields += [SENTENCE.field("metadata")] if metadata else []
    return pa.schema([*fields, SENTENCE.field("flags")])


def tasks_of(schema: pa.Schema) -> tuple[Task, ...]:
    """Give the tasks whose columns a schema has, in the order of the registry.

    >>> [task.name for task in tasks_of(annotated_schema(["ner", "tc"]))]
    ['tc', 'ner']
    """
    return tuple(task for task in TASKS.values() if task.field.name in schema.names)


def list_flags(tasks: Iterable[str] | None = None) -> Mapping[str, str]:
    """Give every flag that a row can carry, with what it tells its reader, in the order in which a row lists them.

    Args:
      tasks: those whose flags are meant; None for all that are registered.

    >>> list(list_flags(["tc"]))
    ['splitter_fallback', 'tc_windowed', 'tc_failed']
    """
    members = [TASKS[task] for task in (TASKS if tasks is None else order_tasks(tasks))]
    raised = [flag for task in members for flag in task.own_flags] + [task.failed_flag for task in members]
    return {**SENTENCE_FLAGS, **{flag.name: flag.meaning for flag in raised}}


def label_sets_version(tasks: Iterable[str]) -> str:
    """Tell which label sets the columns of these tasks draw from.

    >>> label_sets_version(["tc", "ner"])
    'klue-1.1'
    """
    return ",".join(dict.fromkeys(TASKS[task].label_sets_version for task in order_tasks(tasks)))
