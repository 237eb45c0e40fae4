"""The columns of a dataset that hold labels, those of packages that are not installed too."""

from dataclasses import dataclass

import pyarrow as pa

from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.sentence import SENTENCE


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column with labels: one a row, or a list of them.

    Attributes:
      task: the task's name; the column's where the package of its task is not installed.
      title: what the task finds, in a few words.
      column: its name.
      is_list: whether a row has several.
      label: which field holds the label.
      fields: all of its fields.
    """

    task: str
    title: str
    column: str
    is_list: bool
    label: str
    fields: tuple[str, ...]

    @property
    def has_score(self) -> bool:
        """Whether each label has a score."""
        return "score" in self.fields

    def items(self, *further: str) -> str:
        """Give a subquery of one row an item: `item`, and further columns of `sentences`."""
        chosen = ", ".join(
            (f'unnest("{self.column}") AS item' if self.is_list else f'"{self.column}" AS item', *further)
        )
        where = "" if self.is_list else f' WHERE "{self.column}" IS NOT NULL'
        return f"(SELECT {chosen} FROM sentences{where})"

    def has_label(self) -> str:
        """Give the condition that a row has a label; the label is the query's parameter."""
        if self.is_list:
            return f"""list_contains(list_transform("{self.column}", lambda item: item."{self.label}"), ?)"""
        return f'"{self.column}"."{self.label}" IS NOT DISTINCT FROM ?'

    def lowest_score(self) -> str:
        """Give the expression of a row's lowest score, null where it has none."""
        if self.is_list:
            return f"""list_min(list_transform("{self.column}", lambda item: item.score))"""
        return f'"{self.column}".score'


def list_label_columns(schema: pa.Schema) -> tuple[LabelColumn, ...]:
    """Find the columns with labels, in the order of the schema; those without a field for a label are left out.

    Args:
      schema: of a dataset's rows.

    >>> from klue_beam.transforms.tasks.output import annotated_schema
    >>> [(one.task, one.column, one.label) for one in list_label_columns(annotated_schema(["tc", "dp"]))]
    [('tc', 'topic', 'label'), ('dp', 'dependencies', 'deprel')]
    """
    known = {TASKS[name].field.name: TASKS[name] for name in TASKS}
    found = []
    for field in schema:
        is_list = pa.types.is_list(field.type)
        item = field.type.value_type if is_list else field.type
        if field.name in SENTENCE.names or not pa.types.is_struct(item):
            continue
        task = known.get(field.name)
        label = "label" if task is None else task.label_field
        if label in item.names:
            name, title = (field.name, field.name) if task is None else (task.name, task.title)
            found.append(LabelColumn(name, title, field.name, is_list, label, tuple(item.names)))
    return tuple(found)
