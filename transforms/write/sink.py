"""The sink: one segment becomes one Parquet file, its rejects another, and a receipt proves it, written last."""

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from klue_beam.schemas.annotation import SCHEMA_VERSION
from klue_beam.schemas.config import AnnotateConfig
from klue_beam.schemas.shard import Chunk, Receipt, Shard
from klue_beam.transforms.base.progress import ChunkProgress, noted_expansion, report
from klue_beam.transforms.base.stores.opening import open_store
from klue_beam.transforms.plan.files import FOOTER_PREFIX, VERSION_KEY
from klue_beam.transforms.tasks.output import annotated_schema, label_sets_version
from klue_beam.transforms.write.segment import SegmentWriter


def package_version() -> str:
    """Give the version of klue-beam that is installed.

    Raises:
      RuntimeError: if it runs from a folder that was never installed.
    """
    try:
        return importlib.metadata.version("klue-beam")
    except importlib.metadata.PackageNotFoundError as error:
        raise RuntimeError("klue-beam must be installed, so that files can name its version. Run ./run.sh.") from error


def provenance(config: AnnotateConfig, config_hash: str) -> dict[str, str]:
    """Say what made a dataset's rows, for the footer of every file.

    Returns:
      Footer keys with their values: versions, steps of cleaning, splitter, models with their hashes (JSON by task),
      configuration hash.
    """
    models = {
        task: {"name": config.model.models.get(task, ""), "sha256": config.model.model_sha256.get(task, "")}
        for task in config.model.tasks
    }
    clean = json.dumps([dataclasses.asdict(step) for step in config.clean], ensure_ascii=False, sort_keys=True)
    return {
        **({f"{FOOTER_PREFIX}clean": clean} if config.clean else {}),
        f"{FOOTER_PREFIX}schema_version": SCHEMA_VERSION,
        VERSION_KEY: package_version(),
        f"{FOOTER_PREFIX}splitter": config.splitter,
        f"{FOOTER_PREFIX}splitter_version": config.splitter_version,
        f"{FOOTER_PREFIX}models": json.dumps(models, ensure_ascii=False, sort_keys=True),
        f"{FOOTER_PREFIX}precision": config.model.precision,
        f"{FOOTER_PREFIX}label_sets_version": label_sets_version(config.model.tasks),
        f"{FOOTER_PREFIX}config_hash": config_hash,
    }


def write_segment(
    chunks: Iterable[Chunk],
    *,
    dataset: str | Path,
    shard: Shard,
    segment: int,
    schema: pa.Schema,
    provenance: Mapping[str, str],
) -> Receipt:
    """Write one segment whole: its file, its rejects and its receipt.

    Args:
      chunks: all chunks of the segment, in order.
      dataset: the dataset's address.
      shard: the shard that the segment is of.
      segment: the segment's number in the shard.
      schema: what annotated_schema gives for the dataset.
      provenance: what the function of that name gave; it goes to the footers.

    Returns:
      The receipt that stands in the dataset now.

    Raises:
      ContractError: if a chunk is missing, or breaks the output contract.
      PublishError: if a file or receipt stands there that is not this segment's.
    """
    with SegmentWriter(dataset, shard, segment, schema, provenance) as writer:
        for chunk in chunks:
            writer.write(chunk)
        return writer.publish()


class WriteAnnotations(beam.PTransform):
    """Write chunks of annotated sentences; gives the receipt of each segment as JSON once it is committed.

    Chunks of a segment must come in order, one after another, as a fused chain behind ReadShards gives them.

    Args:
      dataset: the dataset's address.
      config: the configuration of the dataset's plan.
      config_hash: its hash, as the plan has it.

    Raises:
      ValueError: if `dataset` is an address that cannot be opened.
    """

    def __init__(self, dataset: str | Path, config: AnnotateConfig, config_hash: str) -> None:
        super().__init__()
        open_store(dataset)
        self._dataset = str(dataset)
        self._config = config
        self._config_hash = config_hash

    def expand(self, chunks: beam.PCollection[Chunk]) -> beam.PCollection[str]:
        """Apply the sink to a collection of chunks."""
        return chunks | "write segments" >> beam.ParDo(_WriteSegments(self._dataset, self._config, self._config_hash))


@beam.typehints.with_input_types(Chunk)
@beam.typehints.with_output_types(str)
class _WriteSegments(beam.DoFn):
    """Keeps the writer of the open segment from chunk to chunk."""

    def __init__(self, dataset: str, config: AnnotateConfig, config_hash: str) -> None:
        self._dataset = dataset
        self._schema = annotated_schema(config.model.tasks, metadata=config.read.keep_metadata)
        self._provenance = provenance(config, config_hash)
        self._writer: SegmentWriter | None = None

    def process(self, chunk: Chunk) -> Iterator[str]:
        """Write a chunk; with the last of its segment, commit the segment."""
        try:
            if self._writer is None:
                self._writer = SegmentWriter(
                    self._dataset, chunk.shard, chunk.key.segment, self._schema, self._provenance
                )
            self._writer.write(chunk)
            receipt = self._writer.publish() if chunk.key.last_of_segment else None
        except BaseException:
            self._discard()
            raise
        report(
            ChunkProgress(
                shard_id=chunk.shard.shard_id,
                documents=sum(tally.documents for tally in chunk.tallies),
                sentences=chunk.rows.num_rows,
                rejects=chunk.rejects.num_rows,
                amount=sum(tally.end - tally.begin for tally in chunk.tallies),
                expansion=noted_expansion() if chunk.shard.is_stream else 0.0,
            )
        )
        if receipt is not None:
            self._writer = None
            yield receipt.to_json()

    def finish_bundle(self) -> None:
        """Refuse a bundle that ends in the middle of a segment."""
        if self._writer is not None:
            error = self._writer.broken("the bundle ended before the segment's last chunk")
            self._discard()
            raise error

    def teardown(self) -> None:
        """Throw away what a failed bundle left open."""
        self._discard()

    def _discard(self) -> None:
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
