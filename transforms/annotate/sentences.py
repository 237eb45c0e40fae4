"""Annotating sentences: the tasks as a pure function over record batches and as Beam transforms over chunks."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.config import DEFAULT_MODEL, ModelConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.reject import MAX_RAW_BYTES, REJECT
from klue_beam.schemas.shard import Chunk
from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.base.memory import release_free_memory
from klue_beam.transforms.models.engine.engine import Engine
from klue_beam.transforms.models.engine.loading import share_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.findings import Findings
from klue_beam.transforms.tasks.output import annotated_schema, list_flags, needs_of, require_needs

PASS_BYTES: Final = 512 << 10
"""So much text goes through the engines at once, four times a chunk's usual size. A chunk never cuts a document, but
what a model keeps of all the sentences of a book would fill the memory."""


def annotate(
    rows: pa.RecordBatch, engines: Sequence[Engine], *, keep_metadata: bool = False, pass_bytes: int = PASS_BYTES
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Annotate sentences with every task of the engines.

    Identical sentences of a pass are annotated once. A sentence on which a model fails keeps its row,
    without that model's columns and with a flag, and is named with the reason in the rejects.

    Args:
      rows: batch of SENTENCE, possibly with columns of tasks that ran before.
      engines: from `load_engines`, in its order; what their tasks need of others, an engine before or a column gives.
      keep_metadata: whether the column `metadata` stays.
      pass_bytes: so much text, in bytes, goes through the engines at once; the rows do not depend on it.

    Returns:
      The rows with the tasks' columns in the order of TASKS, and a batch of REJECT.

    Raises:
      ValueError: if what a task needs is not there, or metadata that is asked for.
      RuntimeError: if a model fails on every sentence, and on a plain one too.
    """
    if keep_metadata and "metadata" not in rows.schema.names:
        raise ValueError(
            "`keep_metadata` must be given to every transform of a chain, got rows without the column `metadata`. "
            "Give it to the transforms before this one, too."
        )
    parts = [_annotate_pass(part, engines, keep_metadata) for part in _cut_passes(rows, pass_bytes)]
    annotated, rejects = (pa.concat_batches(batches) for batches in zip(*parts, strict=True))
    return annotated, rejects


def _cut_passes(rows: pa.RecordBatch, pass_bytes: int) -> Iterator[pa.RecordBatch]:
    """Cut rows so that each part but for its last sentence has `pass_bytes` of text at most; no rows are one part."""
    ends = np.cumsum(pc.binary_length(rows.column("text")).to_numpy(), dtype=np.int64)
    cuts = np.flatnonzero(np.diff(ends // pass_bytes)) + 1
    for begin, end in itertools.pairwise([0, *cuts.tolist(), rows.num_rows]):
        yield rows.slice(begin, end - begin)


def _annotate_pass(
    rows: pa.RecordBatch, engines: Sequence[Engine], keep_metadata: bool
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    columns = {name: rows.column(name) for name in rows.schema.names}
    needed = needs_of(task for engine in engines for task in engine.tasks)
    given = {task: TASKS[task].field.name for task in needed if TASKS[task].field.name in columns}
    texts, first, inverse = _distinct_texts(rows, list(given.values()))
    known = {task: _read_known(task, columns[name].take(pa.array(first))) for task, name in given.items()}
    flags: dict[str, Bools] = {}
    rejects = [pa.RecordBatch.from_pylist([], schema=REJECT)]
    for engine in engines:
        require_needs(engine.tasks, known)
        found = engine.annotate(texts, {task: known[task].findings for task in needs_of(engine.tasks)})
        here = dict(found.flags)
        for task, findings in found.found.items():
            member: Task = TASKS[task]
            for need in member.needs:
                # Where what it reads is not known, neither is what it would have found.
                failed = member.failed_flag.name
                here[failed] = here[failed] | known[need].absent
            absent = np.logical_or.reduce([here[flag.name] for flag in member.flags if flag.is_absent])
            known[task] = _Known(findings, absent)
            columns[member.field.name] = findings.to_arrow(texts, absent).take(pa.array(inverse))
        for name, where in here.items():
            flags[name] = flags[name] | where if name in flags else where
        rejects.append(_failed_rows(rows, inverse, found.failures, engine.tasks))
    columns["flags"] = _add_flags(rows.column("flags"), flags, inverse)
    present = [task for task in TASKS if TASKS[task].field.name in columns]
    schema = annotated_schema(present, metadata=keep_metadata)
    annotated = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    return annotated, pa.concat_batches(rejects)


def _distinct_texts(rows: pa.RecordBatch, given: Sequence[str]) -> tuple[tuple[str, ...], Ints, Ints]:
    """Find the distinct sentences: those with the same text and the same values in some columns.

    Args:
      rows: the sentences.
      given: names of columns that a task reads.

    Returns:
      Their texts, the first row of each, and for each row which of them it is.
    """
    encoded = pc.dictionary_encode(rows.column("text"))
    inverse = encoded.indices.to_numpy().astype(np.int64)
    first = np.unique(inverse, return_index=True)[1]
    for name in given:
        column = rows.column(name)
        if not column.take(pa.array(first)).take(pa.array(inverse)).equals(column):
            every = np.arange(rows.num_rows)
            return tuple(rows.column("text").to_pylist()), every, every
    return tuple(encoded.dictionary.to_pylist()), first, inverse


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """What a task found in the distinct texts, and the texts of which it is not known. Shape of absent: (n_texts,)."""

    findings: Findings
    absent: Bools


def _read_known(task: str, column: pa.Array) -> _Known:
    """Read a task's column back, one row a distinct text."""
    return _Known(TASKS[task].read_column(column), column.is_null().to_numpy(zero_copy_only=False))


def _add_flags(column: pa.Array, flags: Mapping[str, Bools], inverse: Ints) -> pa.Array:
    """Add flags to those that rows carry, in the order of `list_flags`; most batches have none to add.

    Args:
      column: lists of flags, one a row.
      flags: by name, the distinct texts that carry it.
      inverse: the distinct text of each row.
    """
    raised = {name: where[inverse] for name, where in flags.items() if where.any()}
    if not raised:
        return column
    rows = column.to_pylist()
    for row in np.flatnonzero(np.any(list(raised.values()), axis=0)):
        here = {*rows[row], *(name for name, where in raised.items() if where[row])}
        rows[row] = [name for name in list_flags() if name in here]
    return pa.array(rows, type=column.type)


def _failed_rows(
    rows: pa.RecordBatch, inverse: Ints, failures: Mapping[int, str], tasks: Sequence[str]
) -> pa.RecordBatch:
    """Name the rows whose text (by number) a model failed on."""
    numbers = np.flatnonzero(np.isin(inverse, list(failures)))
    failed = rows.take(pa.array(numbers))
    raw = [text.encode() for text in failed.column("text").to_pylist()]
    return pa.RecordBatch.from_pydict(
        {
            "source": failed.column("source"),
            "record_index": failed.column("record_index"),
            "byte_begin": pa.nulls(len(numbers), pa.int64()),
            "stage": ["annotate"] * len(numbers),
            "reason": [f"{','.join(tasks)}: {failures[i]}" for i in inverse[numbers].tolist()],
            "raw": [text[:MAX_RAW_BYTES] for text in raw],
            "raw_bytes": [len(text) for text in raw],
        },
        schema=REJECT,
    )


class _AnnotateChunk(beam.DoFn):
    def __init__(self, config: ModelConfig, threads: int, device: str, keep_metadata: bool) -> None:
        self._config, self._threads, self._device, self._keep_metadata = config, threads, device, keep_metadata

    def setup(self) -> None:
        self._engines = share_engines(self._config, self._threads, self._device)

    def process(self, chunk: Chunk) -> Iterable[Chunk]:
        rows, rejects = annotate(chunk.rows, self._engines, keep_metadata=self._keep_metadata)
        release_free_memory()
        yield dataclasses.replace(chunk, rows=rows, rejects=pa.concat_batches([chunk.rejects, rejects]))


class Annotate(beam.PTransform):
    """Annotate the sentences of chunks with several tasks in one pass, sharing encoders where models are the same.

    Args:
      config: the tasks and models, with a settled precision.
      threads: torch threads of each worker process.
      device: where the models run, one of DEVICES; each worker process looks for itself what `auto` is.
      keep_metadata: whether the column `metadata` stays.

    Raises:
      ValueError: if a model cannot be found or cannot serve its task, or the precision is not settled.
    """

    def __init__(
        self, config: ModelConfig, threads: int = 1, *, device: str = "auto", keep_metadata: bool = False
    ) -> None:
        super().__init__()
        config.require_settled()
        # A plan's configuration is resolved already; hashing the models anew for each shard would take seconds.
        is_resolved = set(config.tasks) <= set(config.model_sha256)
        self._config = config if is_resolved else resolve_models(config)
        self._threads, self._device, self._keep_metadata = threads, device, keep_metadata

    def expand(self, chunks: beam.PCollection[Chunk]) -> beam.PCollection[Chunk]:
        """Chunks of SENTENCE rows in, chunks of annotated rows out."""
        annotate_chunk = _AnnotateChunk(self._config, self._threads, self._device, self._keep_metadata)
        return chunks | beam.ParDo(annotate_chunk).with_output_types(Chunk)


class _OneTask(Annotate):
    """One task alone.

    Args:
      model: the model's name: `small`, a folder, or a hub name.
      threads, device, keep_metadata: as in Annotate.
      options: further fields of ModelConfig.
    """

    task: str

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        threads: int = 1,
        *,
        device: str = "auto",
        keep_metadata: bool = False,
        **options: Any,
    ) -> None:
        config = ModelConfig(tasks=(self.task,), models={self.task: model}, **options)
        super().__init__(config, threads, device=device, keep_metadata=keep_metadata)


class ClassifyTopics(_OneTask):
    """TC alone: add the column `topic`."""

    task = "tc"


class RecognizeEntities(_OneTask):
    """NER alone: add the column `entities`."""

    task = "ner"


class ExtractRelations(_OneTask):
    """RE alone, on chunks that RecognizeEntities has passed: add the column `relations`."""

    task = "re"


class ParseDependencies(_OneTask):
    """DP alone: add the column `dependencies`."""

    task = "dp"
