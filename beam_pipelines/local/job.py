"""A dataset and the work that is left in it: opened under a lock, closed when all of it is there."""

import dataclasses
import json
from collections.abc import Sequence

from klue_beam.schemas.config import AUTO_PRECISION, AnnotateConfig, ModelConfig
from klue_beam.schemas.shard import SUCCESS_FILE, Plan, Receipt, Shard
from klue_beam.transforms.base.stores.base import DatasetInUseError, Store
from klue_beam.transforms.base.stores.finding import is_inside
from klue_beam.transforms.base.stores.opening import open_store
from klue_beam.transforms.plan.cuts import PlanProgress
from klue_beam.transforms.plan.dataset import Dataset
from klue_beam.transforms.plan.plan import extend_plan, load_plan, make_plan, plan_version, save_plan
from klue_beam.transforms.plan.receipts import complete_shards, load_receipts


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What is to do in a dataset.

    Attributes:
      dataset: its address.
      plan: all sources and shards, those of earlier runs too.
      plan_version: of the plan that is stored with the dataset, None if there is none.
      is_stored: whether that is `plan` as it is.
      config: the configuration that the plan holds.
      receipts: of the segments that were there when the job was opened.
    """

    dataset: str
    plan: Plan
    plan_version: str | None
    is_stored: bool
    config: AnnotateConfig
    receipts: tuple[Receipt, ...]

    @property
    def store(self) -> Store:
        """Where the dataset lies."""
        return open_store(self.dataset)

    @property
    def pending(self) -> list[Shard]:
        """The shards that are not complete, the largest streams first, so that none is left over at the end."""
        done = complete_shards(self.plan, self.receipts)
        waiting = [shard for shard in self.plan.shards if shard.shard_id not in done]
        return sorted(waiting, key=lambda shard: -shard.ranges[0].size_bytes if shard.is_stream else 0)

    @property
    def is_finished(self) -> bool:
        """Whether all is there and the dataset says so."""
        return self.is_stored and not self.pending and self.store.stat(SUCCESS_FILE) is not None

    def read_back(self) -> Dataset:
        """Give the dataset as far as it is committed."""
        return Dataset(self.store, self.plan, self.receipts)


def plan_job(
    dataset: str,
    inputs: Sequence[str],
    config: AnnotateConfig,
    device: str = "auto",
    progress: PlanProgress | None = None,
) -> Job:
    """Find out what is to do; writes nothing.

    Args:
      dataset: its address.
      inputs: as for `make_plan`.
      config: what is asked for. The precision `auto` is settled where there is no plan yet.
      device: where it is settled, one of DEVICES.
      progress: told while inputs are planned.

    Raises:
      ValueError: if an input cannot be taken, or the dataset has another configuration or other sources.
      RuntimeError: if a source is no longer what it was when it was planned.
      OSError: if a file cannot be read.
    """
    version = plan_version(dataset)
    stored = None if version is None else load_plan(dataset)
    receipts = tuple(load_receipts(dataset))
    if stored is None:
        plan = make_plan(inputs, dataclasses.replace(config, model=_settle(config.model, device)), progress)
    else:
        plan = extend_plan(stored, inputs, config, receipts, progress)
    _refuse_own_files(dataset, plan)
    return Job(dataset, plan, version, plan == stored, AnnotateConfig.from_dict(plan.config), receipts)


def _refuse_own_files(dataset: str, plan: Plan) -> None:
    for source in plan.sources:
        if is_inside(source.address, dataset):
            raise ValueError(
                f"An input must not lie in the dataset that is written, got {source.path!r} in {dataset!r}. Choose "
                "another --output."
            )


def _settle(config: ModelConfig, device: str) -> ModelConfig:
    if config.precision != AUTO_PRECISION:
        return config
    from klue_beam.transforms.evaluation.settling import settle_precision  # noqa: PLC0415  it loads models, which only this case needs

    return settle_precision(config, device)


def open_job(job: Job) -> Job:
    """Make a dataset ready for the job: the plan stored, what killed runs left behind cleared away.

    Returns:
      The job with the plan as it is stored now.

    Raises:
      DatasetInUseError: if another process has stored another plan since this one was read.
      OSError: if it cannot be written.
    """
    if job.pending:  # first: a dataset with work left must not say that it is complete
        job.store.delete(SUCCESS_FILE)
    version = job.plan_version if job.is_stored else save_plan(job.dataset, job.plan, job.plan_version)
    job.store.clear_attempts()
    return dataclasses.replace(job, plan_version=version, is_stored=True)


def close_job(job: Job) -> Job:
    """Mark a dataset as complete if it is.

    Returns:
      The job with the receipts that are there now; what is still pending is not done.

    Raises:
      DatasetInUseError: if another process has stored another plan meanwhile.
      ValueError: if a receipt is broken.
      OSError: if it cannot be written.
    """
    job = dataclasses.replace(job, receipts=tuple(load_receipts(job.dataset)))
    if job.pending:
        return job
    if plan_version(job.dataset) != job.plan_version:
        raise DatasetInUseError(
            f"One process at a time may change a dataset, got {job.dataset!r}, whose plan another one wrote meanwhile. "
            "Run the command again."
        )
    content = {"config_hash": job.plan.config_hash, "sources": len(job.plan.sources), "segments": len(job.receipts)}
    job.store.overwrite(SUCCESS_FILE, json.dumps(content).encode())
    job.store.clear_attempts()
    return job
