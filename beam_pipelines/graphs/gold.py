"""The graphs of evaluate: what the transforms of annotate give for labelled examples, brought back to this process."""

import glob
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.labels import RELATIONS
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import Chunk, ChunkKey, Tally
from klue_beam.transforms.annotate.sentences import Annotate
from klue_beam.transforms.evaluation.gold_pairs import score_gold_pairs
from klue_beam.transforms.evaluation.metrics import Floats
from klue_beam.transforms.models.engine.loading import share_engines
from klue_beam.transforms.split.sentences import SplitSentences
from klue_beam.transforms.tasks.gold import DependencyExample, EntityExample, RelationExample, TopicExample

Example = TopicExample | EntityExample | RelationExample | DependencyExample

DOCUMENTS_PER_CHUNK: Final = 512
PAIRS_PER_BUNDLE: Final = 512


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
    with _pipeline(flags) as pipeline:
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


def run_gold_pairs(
    flags: Sequence[str], config: ModelConfig, examples: Sequence[RelationExample], prefix: str, threads: int
) -> Floats:
    """Score the gold pair of each example, its entities given.

    Returns:
      As `score_gold_pairs` gives it. Shape: (n_rows, n_relations).
    """
    numbered = list(enumerate(examples))
    bundles = [numbered[begin : begin + PAIRS_PER_BUNDLE] for begin in range(0, len(numbered), PAIRS_PER_BUNDLE)]
    with _pipeline(flags) as pipeline:
        _ = (
            pipeline
            | beam.Create(bundles)
            | beam.Reshuffle()
            | "ScoreGoldPairs" >> beam.ParDo(_ScoreGoldPairs(config, threads)).with_output_types(str)
            | beam.io.WriteToText(prefix)
        )
    probabilities = np.full((len(examples), len(RELATIONS)), np.nan)
    for line in _read_lines(prefix):
        probabilities[line["row"]] = line["probabilities"]
    return probabilities


class _ScoreGoldPairs(beam.DoFn):
    """Asks the very engines of annotate for the relation between two given entities of a sentence."""

    def __init__(self, config: ModelConfig, threads: int) -> None:
        self._config, self._threads = config, threads

    def setup(self) -> None:
        (self._engine,) = share_engines(self._config, self._threads)

    def process(self, bundle: Sequence[tuple[int, RelationExample]]) -> Iterator[str]:
        rows = score_gold_pairs(self._engine, [example for _, example in bundle])
        for (number, _), probabilities in zip(bundle, rows.tolist(), strict=True):
            yield json.dumps({"row": number, "probabilities": probabilities})


def _pipeline(flags: Sequence[str]) -> beam.Pipeline:
    options = PipelineOptions(list(flags))
    if options.view_as(StandardOptions).runner:
        return beam.Pipeline(options=options)
    return beam.Pipeline(runner=FnApiRunner(), options=options)


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
    tally = Tally(first, first + len(examples), 0, 0, len(examples), 0, "")
    rejects = pa.RecordBatch.from_pylist([], schema=REJECT)
    return Chunk(ChunkKey(0, 0, number, False, False), rows, rejects, tally)


def _rows_as_json(chunk: Chunk) -> Iterator[str]:
    for row in chunk.rows.drop_columns(["doc_id", "source", "text"]).to_pylist():
        yield json.dumps(row, ensure_ascii=False)


def _read_lines(prefix: str) -> Iterator[dict[str, Any]]:
    for path in sorted(glob.glob(f"{glob.escape(prefix)}-*")):
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
