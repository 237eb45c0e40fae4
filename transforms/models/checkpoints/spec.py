"""What a multi-task model folder says of itself: its tasks, what each task says of it, and its calibration."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.tasks.spec import Calibration, TaskSpec

SPEC_FILE: Final = "klue_beam.json"
FORMAT: Final = 1

FLAT_FIELDS: Final = {
    "topics": "tc",
    "ner_types": "ner",
    "mention_types": "ner",
    "relations": "re",
    "deprels": "dp",
    "char_positions": "ner",
    "pair_layers": "re",
    "pair_context": "re",
    "arc_size": "dp",
    "label_size": "dp",
    "head_final": "dp",
    "min_entity_score": "ner",
    "min_mention_score": "ner",
    "min_inside_score": "ner",
    "tag_transitions": "ner",
}
"""The fields of tasks' specs that stand in the file beside the model's own, in their order there, each with its task.

Version 0.1.0 wrote them so, all of them whichever tasks the model has, and a dataset knows its model by a hash of the
file's bytes. Whatever a task says beside them, and all that a task of another package says, stands below `specs`."""

NESTED: Final = "specs"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The shape of a multi-task model, stored beside its weights.

    Attributes:
      name: what provenance calls the model.
      tasks: the tasks that it has heads for, in the order of the registry.
      of: by task, what it says of the model, a `Task.spec_type`. Of a task that is not given it is the default.
      embeddings_of: a model with the same vocabulary whose embedding matrix this one has, and does not store; empty for
        one with a matrix of its own.
      calibration: by output, as the tasks call theirs (tc, ner, mention, re, arc, deprel, …).
    """

    name: str
    tasks: tuple[str, ...]
    of: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    embeddings_of: str = ""
    calibration: Mapping[str, Calibration] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        names = dict.fromkeys((*FLAT_FIELDS.values(), *self.tasks))
        object.__setattr__(self, "of", {name: self.of.get(name) or TASKS[name].spec_type() for name in names})

    def change(self, task: str, **fields: Any) -> "ModelSpec":
        """Give the spec with other values for some of what one task says.

        >>> ModelSpec(name="new", tasks=("re",)).change("re", pair_layers=1).of["re"].pair_layers
        1
        """
        return dataclasses.replace(self, of={**self.of, task: dataclasses.replace(self.of[task], **fields)})

    def with_calibration(self, fitted: Mapping[str, Calibration]) -> "ModelSpec":
        """Give the spec with the calibration of some outputs put in the place of theirs."""
        return dataclasses.replace(self, calibration={**self.calibration, **fitted})

    def without_fit(self) -> "ModelSpec":
        """Leave out what was fitted on a model's scores, which does not hold for those of other weights."""
        return dataclasses.replace(
            self, of={task: spec.without_fit() for task, spec in self.of.items()}, calibration={}
        )

    def label_sets(self) -> Mapping[str, tuple[str, ...]]:
        """Give the label sets of the model's tasks, by the names of the fields that hold them."""
        return {name: labels for task in self.tasks for name, labels in self.of[task].label_sets().items()}

    def save(self, folder: Path) -> None:
        """Write the spec into a model folder, whole or not at all."""
        fields: dict[str, Any] = {"format": FORMAT, "name": self.name, "tasks": self.tasks}
        fields |= {name: getattr(self.of[task], name) for name, task in FLAT_FIELDS.items()}
        fields["embeddings_of"] = self.embeddings_of
        fields["calibration"] = {name: dataclasses.asdict(value) for name, value in self.calibration.items()}
        nested = {task: _nested_fields(task, self.of[task]) for task in self.tasks}
        if any(nested.values()):
            fields[NESTED] = {task: values for task, values in nested.items() if values}
        text = json.dumps(fields, ensure_ascii=False, indent=1)
        fresh = folder / f".{SPEC_FILE}.new"
        try:
            with fresh.open("w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(folder / SPEC_FILE)
        finally:
            fresh.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> "ModelSpec":
        """Read the spec of a model folder.

        Raises:
          ValueError: if the file is absent, of another format, lacks a field, or names a task that is not registered.
        """
        path = folder / SPEC_FILE
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = fields.pop("format")
            if found != FORMAT:
                raise ValueError(f"{path} must be of format {FORMAT}, got {found}. Use the version that wrote it.")
            tasks = tuple(fields.pop("tasks"))
            if unknown := [task for task in tasks if task not in TASKS]:
                raise ValueError(
                    f"The tasks of a model must be out of {', '.join(TASKS)}, got {unknown[0]!r} in {path}. Install "
                    f"the package that brings the task {unknown[0]}."
                )
            specs: dict[str, dict[str, Any]] = {task: dict(said) for task, said in fields.pop(NESTED, {}).items()}
            for name, task in FLAT_FIELDS.items():
                if name in fields:
                    specs.setdefault(task, {})[name] = fields.pop(name)
            of = {task: TASKS[task].spec_type(**_to_tuples(said)) for task, said in specs.items()}
            calibration = {
                name: Calibration(value["temperature"], tuple(value["bias"]))
                for name, value in fields.pop("calibration").items()
            }
            return cls(tasks=tasks, of=of, calibration=calibration, **fields)
        except (OSError, AttributeError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} must hold a model's spec, got {type(error).__name__}: {error}. Train or copy the model again."
            ) from error


def _nested_fields(task: str, spec: TaskSpec) -> dict[str, Any]:
    """Give what a task says beside FLAT_FIELDS; of a task that has some there, only what is not as it was before."""
    before = TASKS[task].spec_type()
    is_flat = task in FLAT_FIELDS.values()
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    return {
        name: value
        for name, value in values.items()
        if FLAT_FIELDS.get(name) != task and not (is_flat and value == getattr(before, name))
    }


def _to_tuples(value: Any) -> Any:
    """Put tuples in the place of JSON's lists."""
    if isinstance(value, dict):
        return {name: _to_tuples(inner) for name, inner in value.items()}
    return tuple(_to_tuples(inner) for inner in value) if isinstance(value, list) else value
