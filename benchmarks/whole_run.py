"""Annotating a sample as a worker of `klue-beam annotate` does: from file to Parquet, shard after shard, one thread."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.samples import count_bytes, count_characters, write_jsonl
from benchmarks.timing import Spent, now, time_call
from klue_beam.beam_pipelines.local.driver import ShardJob, run_shard
from klue_beam.beam_pipelines.local.job import Job, close_job, open_job, plan_job
from klue_beam.schemas.config import AnnotateConfig, ModelConfig, ReadConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.shard import DATA_DIR
from klue_beam.transforms.models.engine.loading import share_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.split.sentences import splitter_version


@dataclasses.dataclass(frozen=True)
class WholeRun:
    """A sample annotated.

    Attributes:
      job: its plan and receipts.
      engines: that annotated it.
      startup: loading the models, and annotating one document for the first time.
      spent: from the first byte read to the last receipt, models loaded.
      sentences, characters, text_bytes: of the sample.
      output_bytes: of the Parquet files.
    """

    job: Job
    engines: list[Any]
    startup: Spent
    spent: Spent
    sentences: int
    characters: int
    text_bytes: int
    output_bytes: int


class Worker:
    """Runs samples through the graph of `klue-beam annotate` in this process.

    Args:
      models: by task, as ModelConfig has them.
      folder: where inputs and datasets go.
      first: a batch of DOCUMENT whose first document is annotated to warm up.
      options: further fields of ModelConfig.

    Raises:
      ValueError: if a model cannot be found or cannot serve its task.
    """

    def __init__(self, models: Mapping[str, str], folder: Path, first: pa.RecordBatch, **options: Any) -> None:
        began = now()
        model = resolve_models(ModelConfig(models=models, **options))
        self._config = AnnotateConfig(
            read=ReadConfig(input_format="jsonl"), splitter_version=splitter_version("fast"), model=model
        )
        self._folder = folder
        job = self._plan("first", first.slice(0, 1))
        self.engines = share_engines(job.config.model, 1)
        self._annotate(job)
        self.startup = now().minus(began)

    def run(self, name: str, documents: pa.RecordBatch) -> WholeRun:
        """Annotate documents.

        Args:
          name: of the sample among others.
          documents: a batch of DOCUMENT.

        Raises:
          RuntimeError: if something was left out.
        """
        job = self._plan(name, documents)
        _, spent = time_call(lambda: self._annotate(job))
        job = close_job(job)
        counts = [receipt.counts for receipt in job.receipts]
        done = sum(count["documents"] for count in counts)
        if job.pending or done != documents.num_rows:
            raise RuntimeError(f"All of the {documents.num_rows} documents must be annotated, got {done}.")
        data = Path(job.dataset, DATA_DIR)
        return WholeRun(
            job=job,
            engines=self.engines,
            startup=self.startup,
            spent=spent,
            sentences=sum(count["sentences"] for count in counts),
            characters=count_characters(documents),
            text_bytes=count_bytes(documents),
            output_bytes=sum(os.path.getsize(path) for path in data.iterdir()),
        )

    def _plan(self, name: str, documents: pa.RecordBatch) -> Job:
        source = write_jsonl(documents.column("text").to_pylist(), self._folder / f"{name}.jsonl")
        dataset = self._folder / name
        dataset.mkdir()
        return open_job(plan_job(str(dataset), [str(source)], self._config))

    def _annotate(self, job: Job) -> None:
        for shard in job.pending:
            run_shard(shard, ShardJob(job.dataset, job.config, job.plan.config_hash, (), threads=1, device="cpu"))


def models_of(name: str) -> dict[str, str]:
    """Name one multi-task model for all tasks."""
    return dict.fromkeys(TASKS, name)
