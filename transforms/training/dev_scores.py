"""What a model in training reaches on labelled rows that it does not learn from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.gold import Example
from klue_beam.transforms.tasks.report import Report
from klue_beam.transforms.training.finding import make_engine


def score_dev_rows(
    model: MultiTaskModel, tokenizer: TextTokenizer, examples: Mapping[str, Sequence[Any]]
) -> dict[str, Report]:
    """Run the engine of annotate over labelled rows and score what comes out.

    Of a task that asks about gold rows, what they tell is scored, and nothing end to end.

    Args:
      model: in evaluation mode, with every task that one of these needs.
      tokenizer: the model's.
      examples: rows of each task, as its `read_gold` gives them.
    """
    reports = {}
    for name, rows in examples.items():
        task: Task = TASKS[name]
        tasks = [name] if task.asks_gold else [*task.needs, name]
        engine = make_engine(model, tokenizer, tasks)
        if task.asks_gold:
            reports[name] = task.score_answers(rows, task.answer(engine, rows), None)
        else:
            annotated, _ = annotate(_sentences(rows), [engine])
            reports[name] = task.score(rows, [[row] for row in annotated.to_pylist()])
    return reports


def _sentences(examples: Sequence[Example]) -> pa.RecordBatch:
    """Take each example's text as one sentence."""
    texts = [example.text for example in examples]
    n_rows = len(texts)
    columns = {
        "doc_id": [example.guid for example in examples],
        "source": [""] * n_rows,
        "record_index": range(n_rows),
        "sentence_index": [0] * n_rows,
        "begin": [0] * n_rows,
        "end": [len(text) for text in texts],
        "text": texts,
        "metadata": [None] * n_rows,
        "flags": [[]] * n_rows,
    }
    return pa.RecordBatch.from_pydict(columns, schema=SENTENCE)
