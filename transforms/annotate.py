"""Annotating sentences: the tasks as a pure function over record batches and as Beam transforms over chunks."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotation import TASK_FIELDS, annotated_schema
from schemas.labels import FLAGS, TASKS
from schemas.reject import REJECT
from schemas.shard import Chunk
from transforms.codepoints import Bools
from transforms.config import ModelConfig
from transforms.models.engine import Annotations
from transforms.models.loading import Engine, resolve_models, share_engines
from transforms.tasks.entity import Entities


def annotate(
    rows: pa.RecordBatch, engines: Sequence[Engine], *, keep_metadata: bool = False
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Annotate sentences with every task of the engines.

    Identical sentences are annotated once. A sentence on which a model fails keeps its row, without that model's
    columns and with a flag, and is named with the reason in the rejects.

    Args:
      rows: batch of SENTENCE, possibly with columns of tasks that ran before.
      engines: from `load_engines`; one that seeks relations only needs the column `entities` or one that finds them.
      keep_metadata: whether the column `metadata` stays.

    Returns:
      The rows with the tasks' columns in the order of TASKS, and a batch of REJECT.

    Raises:
      ValueError: if relations are asked for and no entities are there.
    """
    encoded = pc.dictionary_encode(rows.column("text"))
    texts: list[str] = encoded.dictionary.to_pylist()
    inverse = encoded.indices
    columns = {name: rows.column(name) for name in rows.schema.names}
    entities = _given_entities(rows, encoded) if "entities" in columns else None
    flags: dict[str, Bools] = {}
    rejects: list[pa.RecordBatch] = []
    for engine in engines:
        finds_entities = "ner" in engine.tasks
        if "re" in engine.tasks and not finds_entities and entities is None:
            raise ValueError(
                "`re` must run with `ner` or on rows that have entities, got neither. Add ner to the tasks."
            )
        found = engine.annotate(texts, None if finds_entities else entities)
        entities = found.entities if finds_entities else entities
        for task, column in _columns(found, texts).items():
            columns[TASK_FIELDS[task].name] = column.take(inverse)
        for name, where in found.flags.items():
            flags[name] = flags.get(name, np.zeros(len(texts), dtype=bool)) | where
        rejects.append(_failed_rows(rows, inverse.to_numpy(), found.failures))
    columns["flags"] = _add_flags(rows.column("flags"), flags, inverse.to_numpy())
    present = [task for task in TASKS if TASK_FIELDS[task].name in columns]
    schema = annotated_schema(present, metadata=keep_metadata)
    annotated = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    return annotated, _concat_rejects(rejects)


def _columns(found: Annotations, texts: Sequence[str]) -> dict[str, pa.Array]:
    """Lay out what an engine found, one row a distinct text."""
    columns = {}
    if found.topics is not None:
        columns["tc"] = found.topics.to_arrow()
    if found.entities is not None:
        columns["ner"] = found.entities.to_arrow(texts, found.flags["ner_failed"])
    if found.relations is not None:
        columns["re"] = found.relations.to_arrow(len(texts), found.flags["re_failed"])
    if found.arcs is not None and found.eojeols is not None:
        skipped = found.flags["dp_failed"] | found.flags["dp_skipped_too_long"]
        columns["dp"] = found.arcs.to_arrow(texts, found.eojeols, skipped)
    return columns


def _given_entities(rows: pa.RecordBatch, encoded: pa.DictionaryArray) -> Entities:
    """Read the column `entities` of the first row of each distinct text."""
    first = np.unique(encoded.indices.to_numpy(), return_index=True)[1]
    lists = rows.column("entities").take(pa.array(first))
    flat = lists.flatten()
    labels = pc.unique(flat.field("label")).to_pylist()
    index = pc.index_in(flat.field("label"), value_set=pa.array(labels, type=pa.string()))
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    begin, end = (flat.field(name).to_numpy().astype(np.int64) for name in ("begin", "end"))
    score = flat.field("score").to_numpy().astype(np.float32)
    text = np.repeat(np.arange(len(first)), counts)
    return Entities(tuple(labels), text, begin, end, index.to_numpy(zero_copy_only=False).astype(np.int64), score)


def _add_flags(column: pa.Array, flags: Mapping[str, Bools], inverse: np.ndarray) -> pa.Array:
    """Append flags to those that rows carry; most batches have none to add."""
    raised = {name: flags[name][inverse] for name in FLAGS if name in flags and flags[name].any()}
    if not raised:
        return column
    rows = column.to_pylist()
    for name, where in raised.items():
        for row in np.flatnonzero(where):
            rows[row] = [*rows[row], name]
    return pa.array(rows, type=column.type)


def _failed_rows(rows: pa.RecordBatch, inverse: np.ndarray, failures: Mapping[int, str]) -> pa.RecordBatch:
    numbers = np.flatnonzero(np.isin(inverse, list(failures)))
    failed = rows.take(pa.array(numbers))
    texts = failed.column("text").to_pylist()
    return pa.RecordBatch.from_pydict(
        {
            "source": failed.column("source"),
            "record_index": failed.column("record_index"),
            "byte_begin": pa.nulls(len(numbers), pa.int64()),
            "stage": pa.array(["annotate"] * len(numbers), pa.string()),
            "reason": pa.array([failures[int(i)] for i in inverse[numbers]], pa.string()),
            "raw": pa.array([text.encode() for text in texts], pa.binary()),
            "raw_bytes": pa.array([len(text.encode()) for text in texts], pa.int64()),
        },
        schema=REJECT,
    )


def _concat_rejects(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.concat_batches(batches) if batches else REJECT.empty_table().to_batches()[0]


class _AnnotateChunk(beam.DoFn):
    def __init__(self, config: ModelConfig, threads: int, keep_metadata: bool) -> None:
        self._config, self._threads, self._keep_metadata = config, threads, keep_metadata

    def setup(self) -> None:
        self._engines = share_engines(self._config, self._threads)

    def process(self, chunk: Chunk) -> Iterable[Chunk]:
        rows, rejects = annotate(chunk.rows, self._engines, keep_metadata=self._keep_metadata)
        rejects = pa.concat_batches([chunk.rejects, rejects]) if rejects.num_rows else chunk.rejects
        yield dataclasses.replace(chunk, rows=rows, rejects=rejects)


class Annotate(beam.PTransform):
    """Annotate the sentences of chunks with several tasks in one pass, sharing encoders where models are the same.

    Args:
      config: the tasks and models.
      threads: torch threads of each worker process.
      keep_metadata: whether the column `metadata` stays.

    Raises:
      ValueError: if a model cannot be found or cannot serve its task.
    """

    def __init__(self, config: ModelConfig, threads: int = 1, *, keep_metadata: bool = False) -> None:
        super().__init__()
        self._config, self._threads, self._keep_metadata = resolve_models(config), threads, keep_metadata

    def expand(self, chunks: beam.PCollection[Chunk]) -> beam.PCollection[Chunk]:
        """Chunks of SENTENCE rows in, chunks of annotated rows out."""
        annotate_chunk = _AnnotateChunk(self._config, self._threads, self._keep_metadata)
        return chunks | beam.ParDo(annotate_chunk).with_output_types(Chunk)


def _single(task: str, model: str, options: Mapping[str, object]) -> ModelConfig:
    return dataclasses.replace(ModelConfig(tasks=(task,), models={task: model}), **options)  # type: ignore[arg-type]


class ClassifyTopics(Annotate):
    """TC alone: add the column `topic`."""

    def __init__(
        self, model: str = "small", threads: int = 1, *, keep_metadata: bool = False, **options: object
    ) -> None:
        super().__init__(_single("tc", model, options), threads, keep_metadata=keep_metadata)


class RecognizeEntities(Annotate):
    """NER alone: add the column `entities`."""

    def __init__(
        self, model: str = "small", threads: int = 1, *, keep_metadata: bool = False, **options: object
    ) -> None:
        super().__init__(_single("ner", model, options), threads, keep_metadata=keep_metadata)


class ExtractRelations(Annotate):
    """RE alone, on chunks that RecognizeEntities has passed: add the column `relations`."""

    def __init__(
        self, model: str = "small", threads: int = 1, *, keep_metadata: bool = False, **options: object
    ) -> None:
        super().__init__(_single("re", model, options), threads, keep_metadata=keep_metadata)


class ParseDependencies(Annotate):
    """DP alone: add the column `dependencies`."""

    def __init__(
        self, model: str = "small", threads: int = 1, *, keep_metadata: bool = False, **options: object
    ) -> None:
        super().__init__(_single("dp", model, options), threads, keep_metadata=keep_metadata)
