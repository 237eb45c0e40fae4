"""Annotating sentences: the tasks as a pure function over record batches and as Beam transforms over chunks."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.reject import MAX_RAW_BYTES, REJECT
from klue_beam.schemas.shard import Chunk
from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.base.memory import release_free_memory
from klue_beam.transforms.models.engine.engine import Annotations
from klue_beam.transforms.models.engine.loading import Engine, share_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.output import annotated_schema, list_flags

MAX_PASS_BYTES: Final = 512 << 10
"""So much text goes through the engines at once, four times a chunk's usual size. A chunk never cuts a document, but
what a model keeps of all the sentences of a book would fill the memory."""


def annotate(
    rows: pa.RecordBatch, engines: Sequence[Engine], *, keep_metadata: bool = False
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Annotate sentences with every task of the engines.

    Identical sentences of a pass (MAX_PASS_BYTES) are annotated once. A sentence on which a model fails keeps its row,
    without that model's columns and with a flag, and is named with the reason in the rejects.

    Args:
      rows: batch of SENTENCE, possibly with columns of tasks that ran before.
      engines: from `load_engines`; one that seeks relations only needs the column `entities` or one that finds them.
      keep_metadata: whether the column `metadata` stays.

    Returns:
      The rows with the tasks' columns in the order of TASKS, and a batch of REJECT.

    Raises:
      ValueError: if relations are asked for and no entities are there, or metadata that is not there.
      RuntimeError: if a model fails on every sentence, and on a plain one too.
    """
    if keep_metadata and "metadata" not in rows.schema.names:
        raise ValueError(
            "`keep_metadata` must be given to every transform of a chain, got rows without the column `metadata`. "
            "Give it to the transforms before this one, too."
        )
    parts = [_annotate_pass(part, engines, keep_metadata) for part in _cut_passes(rows)]
    annotated, rejects = (pa.concat_batches(batches) for batches in zip(*parts, strict=True))
    return annotated, rejects


def _cut_passes(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut rows so that each part but for its last sentence has MAX_PASS_BYTES of text at most; no rows are one part."""
    ends = np.cumsum(pc.binary_length(rows.column("text")).to_numpy(), dtype=np.int64)
    cuts = np.flatnonzero(np.diff(ends // MAX_PASS_BYTES)) + 1
    for begin, end in itertools.pairwise([0, *cuts.tolist(), rows.num_rows]):
        yield rows.slice(begin, end - begin)


def _annotate_pass(
    rows: pa.RecordBatch, engines: Sequence[Engine], keep_metadata: bool
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    texts, first, inverse = _distinct_texts(rows)
    columns = {name: rows.column(name) for name in rows.schema.names}
    known = _read_entities(rows.column("entities").take(pa.array(first))) if "entities" in columns else None
    flags: dict[str, Bools] = {}
    rejects = [pa.RecordBatch.from_pylist([], schema=REJECT)]
    for engine in engines:
        if "re" in engine.tasks and "ner" not in engine.tasks and known is None:
            raise ValueError(
                "`re` must run with `ner` or on rows that have entities, got neither. Add ner to the tasks."
            )
        found = engine.annotate(texts, known.entities if known is not None and "ner" not in engine.tasks else None)
        if found.entities is not None:
            known = _KnownEntities(found.entities, found.flags["ner_failed"])
        here = dict(found.flags)
        if found.relations is not None and known is not None:
            # Where the entities are not known, neither are the relations between them.
            here["re_failed"] = here["re_failed"] | known.failed
        for task, column in _columns(found, here, texts).items():
            columns[TASKS[task].field.name] = column.take(pa.array(inverse))
        for name, where in here.items():
            flags[name] = flags[name] | where if name in flags else where
        rejects.append(_failed_rows(rows, inverse, found.failures, engine.tasks))
    columns["flags"] = _add_flags(rows.column("flags"), flags, inverse)
    present = [task for task in TASKS if TASKS[task].field.name in columns]
    schema = annotated_schema(present, metadata=keep_metadata)
    annotated = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    return annotated, pa.concat_batches(rejects)


def _distinct_texts(rows: pa.RecordBatch) -> tuple[tuple[str, ...], Ints, Ints]:
    """Find the distinct sentences, those with the same text and, where they are known, the same entities.

    Returns:
      Their texts, the first row of each, and for each row which of them it is.
    """
    encoded = pc.dictionary_encode(rows.column("text"))
    inverse = encoded.indices.to_numpy().astype(np.int64)
    first = np.unique(inverse, return_index=True)[1]
    if "entities" in rows.schema.names:
        entities = rows.column("entities")
        if not entities.take(pa.array(first)).take(pa.array(inverse)).equals(entities):
            every = np.arange(rows.num_rows)
            return tuple(rows.column("text").to_pylist()), every, every
    return tuple(encoded.dictionary.to_pylist()), first, inverse


@dataclasses.dataclass(frozen=True, slots=True)
class _KnownEntities:
    """The entities of the distinct texts, and the texts whose entities a model failed to find. Shape: (n_texts,)."""

    entities: Entities
    failed: Bools


def _columns(found: Annotations, flags: Mapping[str, Bools], texts: Sequence[str]) -> dict[str, pa.Array]:
    """Lay out what an engine found, one row a distinct text."""
    columns = {}
    if found.topics is not None:
        columns["tc"] = found.topics.to_arrow()
    if found.entities is not None:
        columns["ner"] = found.entities.to_arrow(texts, flags["ner_failed"])
    if found.relations is not None:
        columns["re"] = found.relations.to_arrow(flags["re_failed"])
    if found.arcs is not None and found.eojeols is not None:
        skipped = flags["dp_failed"] | flags["dp_skipped_too_long"]
        columns["dp"] = found.arcs.to_arrow(texts, found.eojeols, skipped)
    return columns


def _read_entities(lists: pa.ListArray) -> _KnownEntities:
    """Read a column `entities`, one row a distinct text."""
    flat = lists.flatten()
    labels = pc.unique(flat.field("label"))
    label = pc.index_in(flat.field("label"), value_set=labels).to_numpy(zero_copy_only=False).astype(np.int64)
    begin, end = (flat.field(name).to_numpy().astype(np.int64) for name in ("begin", "end"))
    text = np.repeat(np.arange(len(lists)), pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
    score = flat.field("score").to_numpy().astype(np.float32)
    entities = Entities(tuple(labels.to_pylist()), text, begin, end, label, score)
    return _KnownEntities(entities, lists.is_null().to_numpy(zero_copy_only=False))


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
        model: str = "small",
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
