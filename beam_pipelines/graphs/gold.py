"""The graphs of evaluate: what the transforms of annotate give for labelled examples, brought back to this process."""

import glob
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from klue_beam.beam_pipelines.graphs.pipelines import make_pipeline
from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, SourceRange, Tally
from klue_beam.transforms.annotate.sentences import Annotate
from klue_beam.transforms.models.engine.loading import share_engines
from klue_beam.transforms.split.sentences import SplitSentences
from klue_beam.transforms.tasks.gold import Example

DOCUMENTS_PER_CHUNK: Final = 512
EXAMPLES_PER_BUNDLE: Final = 512


def run_annotation(
    flags: Sequence[str], config: ModelConfig, examples: Sequence[Any], prefix: str, threads: int
) -> list[list[dict[str, Any]]]:
    """Run the transforms of annotate over the examples' texts, each one document and one sentence.

    Returns:
      The annotated rows of each example; a text of white space has none.
    """
    chunks = [
        _document_chunk(examples[begin : begin + DOCUMENTS_PER_CHUNK], begin, number)
        for number, begin in enumerate(range(0, len(examples), DOCUMENTS_PER_CHUNK))
    ]
    with make_pipeline(flags) as pipeline:
        _ = (
            pipeline
            | beam.Create(chunks).with_output_types(Chunk)
            | beam.Reshuffle()
            | SplitSentences("none")
            | Annotate(config, threads)
            | "RowsAsJson" >> beam.FlatMap(_rows_as_json).with_output_types(str)
            | beam.io.WriteToText(prefix)
        )
    rows: list[list[dict[str, Any]]] = [[] for _ in examples]
    for row in _read_lines(prefix):
        rows[row["record_index"]].append(row)
    return rows


def run_answers(
    flags: Sequence[str], config: ModelConfig, task: str, examples: Sequence[Any], prefix: str, threads: int
) -> list[Any]:
    """Ask the models of annotate what a task asks about labelled rows, see `Task.answer`.

    Returns:
      The answer for each example.
    """
    numbered = list(enumerate(examples))
    bundles = [numbered[begin : begin + EXAMPLES_PER_BUNDLE] for begin in range(0, len(numbered), EXAMPLES_PER_BUNDLE)]
    with make_pipeline(flags) as pipeline:
        _ = (
            pipeline
            | beam.Create(bundles)
            | beam.Reshuffle()
            | "AskAboutRows" >> beam.ParDo(_AskAboutRows(config, task, threads)).with_output_types(str)
            | beam.io.WriteToText(prefix)
        )
    answers: list[Any] = [None] * len(examples)
    for line in _read_lines(prefix):
        answers[line["row"]] = line["answer"]
    return answers


class _AskAboutRows(beam.DoFn):
    """Asks the very engine of annotate that serves the task."""

    def __init__(self, config: ModelConfig, task: str, threads: int) -> None:
        self._config, self._task, self._threads = config, task, threads

    def setup(self) -> None:
        (self._engine,) = share_engines(self._config, self._threads)

    def process(self, bundle: Sequence[tuple[int, Any]]) -> Iterator[str]:
        answers = TASKS[self._task].answer(self._engine, [example for _, example in bundle])
        for (number, _), answer in zip(bundle, answers, strict=True):
            yield json.dumps({"row": number, "answer": answer})


def _document_chunk(examples: Sequence[Example], first: int, number: int) -> Chunk:
    rows = pa.RecordBatch.from_pydict(
        {
            "doc_id": [example.guid for example in examples],
            "source": [""] * len(examples),
            "record_index": range(first, first + len(examples)),
            "text": [example.text for example in examples],
            "metadata": pa.nulls(len(examples), pa.string()),
        },
        schema=DOCUMENT,
    )
    end = first + len(examples)
    tally = Tally(0, first, end, first, end, len(examples), 0, "")
    rejects, dropped = (pa.RecordBatch.from_pylist([], schema=schema) for schema in (REJECT, DROPPED))
    shard = Shard(0, (SourceRange("", 0, "", 0, 0, 0),))
    return Chunk(shard, ChunkKey(0, number, False, False), rows, rejects, dropped, (tally,))


def _rows_as_json(chunk: Chunk) -> Iterator[str]:
    for row in chunk.rows.drop_columns(["doc_id", "source", "text"]).to_pylist():
        yield json.dumps(row, ensure_ascii=False)


def _read_lines(prefix: str) -> Iterator[dict[str, Any]]:
    for path in sorted(glob.glob(f"{glob.escape(prefix)}-*")):
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
