"""A dataset and the work that is left in it: opened under a lock, closed when all of it is there."""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence

from klue_beam.schemas.config import AUTO_PRECISION, AnnotateConfig, ModelConfig
from klue_beam.schemas.shard import ATTEMPTS_DIR, PLAN_FILE, SUCCESS_FILE, Plan, Receipt, Shard
from klue_beam.transforms.plan.plan import extend_plan, load_plan, make_plan, save_plan
from klue_beam.transforms.plan.receipts import load_receipts
from klue_beam.transforms.write.sink import clear_attempts


class DatasetInUseError(RuntimeError):
    """Another process annotates into the dataset's folder."""


@contextlib.contextmanager
def lock_dataset(dataset: str) -> Iterator[None]:
    """Keep a second driver out of a dataset's folder, which is made if it is absent, and unmade if it stays empty.

    The lock is on the folder itself and the kernel drops it with the process, however that ends: it leaves no file.

    Raises:
      DatasetInUseError: if another process has it.
      OSError: if the folder cannot be made, or its file system has no locks.
    """
    os.makedirs(dataset, exist_ok=True)
    folder = os.open(dataset, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatasetInUseError(
                f"One process at a time may annotate into a folder, got {dataset!r}, where another one is at work. "
                "Wait for it, or choose another --output."
            ) from error
        yield
    finally:
        os.close(folder)
        with contextlib.suppress(OSError):
            os.rmdir(dataset)


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What is to do in a dataset.

    Attributes:
      dataset: its folder.
      plan: all sources and shards, those of earlier runs too.
      is_stored: whether the plan lies in the folder as it is.
      config: the configuration that the plan holds.
      receipts: of the segments that were there when the job was opened.
    """

    dataset: str
    plan: Plan
    is_stored: bool
    config: AnnotateConfig
    receipts: tuple[Receipt, ...]

    @property
    def pending(self) -> list[Shard]:
        """The shards that are not complete, the largest streams first, so that none is left over at the end."""
        segments = Counter(receipt.shard_id for receipt in self.receipts)
        ends = {receipt.shard_id: receipt.segment + 1 for receipt in self.receipts if receipt.last_of_shard}
        done = {shard_id for shard_id, end in ends.items() if segments[shard_id] == end}
        waiting = [shard for shard in self.plan.shards if shard.shard_id not in done]
        return sorted(waiting, key=lambda shard: -shard.ranges[0].size_bytes if shard.is_stream else 0)

    @property
    def is_finished(self) -> bool:
        """Whether all is there and the dataset says so."""
        return self.is_stored and not self.pending and os.path.exists(os.path.join(self.dataset, SUCCESS_FILE))


def plan_job(dataset: str, inputs: Sequence[str], config: AnnotateConfig, device: str = "auto") -> Job:
    """Find out what is to do; writes nothing.

    Args:
      dataset: the folder.
      inputs: as for `make_plan`.
      config: what is asked for. The precision `auto` is settled where there is no plan yet.
      device: where it is settled, one of DEVICES.

    Raises:
      ValueError: if an input cannot be taken, or the folder holds a dataset of another configuration or other sources.
      RuntimeError: if a source is no longer what it was when it was planned.
      OSError: if a file cannot be read.
    """
    stored = load_plan(dataset) if os.path.exists(os.path.join(dataset, PLAN_FILE)) else None
    receipts = tuple(load_receipts(dataset))
    if stored is None:
        plan = make_plan(inputs, dataclasses.replace(config, model=_settle(config.model, device)))
    else:
        plan = extend_plan(stored, inputs, config, receipts)
    return Job(dataset, plan, plan == stored, AnnotateConfig.from_dict(plan.config), receipts)


def _settle(config: ModelConfig, device: str) -> ModelConfig:
    if config.precision != AUTO_PRECISION:
        return config
    from klue_beam.transforms.evaluation.settling import settle_precision  # noqa: PLC0415  it loads models, which only this case needs

    return settle_precision(config, device)


def open_job(job: Job) -> None:
    """Make a dataset's folder ready for the job: the plan stored, what killed runs left behind cleared away.

    Raises:
      OSError: if the folder cannot be written.
    """
    if job.pending:  # first: a dataset with work left must not say that it is complete
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(job.dataset, SUCCESS_FILE))
    if not job.is_stored:
        save_plan(job.dataset, job.plan)
    clear_attempts(job.dataset)


def close_job(job: Job) -> Job:
    """Mark a dataset as complete if it is.

    Returns:
      The job with the receipts that are there now; what is still pending is not done.

    Raises:
      ValueError: if a receipt is broken.
      OSError: if the folder cannot be written.
    """
    job = dataclasses.replace(job, receipts=tuple(load_receipts(job.dataset)))
    if not job.pending:
        _write_success(job)
        shutil.rmtree(os.path.join(job.dataset, ATTEMPTS_DIR), ignore_errors=True)
    return job


def _write_success(job: Job) -> None:
    """Write it in one step: whoever waits for the file must not see half of it."""
    attempts = os.path.join(job.dataset, ATTEMPTS_DIR)
    os.makedirs(attempts, exist_ok=True)
    path = os.path.join(attempts, f"{SUCCESS_FILE}-{uuid.uuid4().hex}")
    content = {"config_hash": job.plan.config_hash, "sources": len(job.plan.sources), "segments": len(job.receipts)}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path, os.path.join(job.dataset, SUCCESS_FILE))
