"""The local driver: one shard for each free process of a Dask cluster, each an in-process Beam pipeline.

Dask brings replacement of dead workers, the memory limit and other machines. The driver itself holds the plan only: a
shard is handed out when a process is free and its result is collected at once, since work that is handed out ahead
queues behind other shards and shares the blame when one of them kills the process.
"""

import contextlib
import logging
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, LocalCluster, Security, get_worker, wait
from distributed.scheduler import KilledWorker
from distributed.system import MEMORY_LIMIT

from klue_beam.beam_pipelines.local.cluster import ClusterConfig
from klue_beam.schemas.config import AnnotateConfig
from klue_beam.schemas.shard import Shard
from klue_beam.transforms.base.progress import ChunkProgress, listen
from klue_beam.transforms.base.threads import set_thread_variables

DEATHS_ALLOWED: Final = 3
"""A shard that killed its process so many times is set aside."""

ERRORS_ALLOWED: Final = 2
"""So many times a shard may raise before it is set aside; once may be a disk that was full for a moment."""

WORKERS_TIMEOUT_SECONDS: Final = 600
"""How long a cluster may be without any worker: a busy machine can take minutes to start one anew."""

DASK_SETTINGS: Final[Mapping[str, Any]] = {
    # A paused worker would keep its shard for ever; one over the limit is better replaced.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # On a busy machine a worker can take longer to start anew than the 15 seconds after which it would be given up.
    "distributed.deploy.lost-worker-timeout": "1 day",
    "distributed.admin.system-monitor.gil.enabled": False,
    # An hour of call stacks, which are deep here, would take a gigabyte in each worker.
    "distributed.worker.profile.enabled": False,
    # Dask looks after itself fifty times a second in each process: most of the 3.5 % of a core that a driver took.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.worker.memory.monitor-interval": "1s",
    # Nothing is kept on workers that could be copied or moved.
    "distributed.scheduler.active-memory-manager.start": False,
}
"""Of clusters that are started here."""

TICK_SECONDS: Final = 0.25
TOPIC: Final = "klue-beam-progress"


class DriverError(RuntimeError):
    """The cluster cannot do the work; the dataset is whole and the same command resumes it."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """What a worker needs to annotate any shard of a dataset."""

    dataset: str
    config: AnnotateConfig
    config_hash: str
    beam_flags: tuple[str, ...]
    threads: int
    device: str


class Observer(Protocol):
    """Who hears of what happens while shards run."""

    def start_attempt(self, shard: Shard, attempt: int) -> None:
        """Hear that a shard was handed to a worker."""

    def hear(self, event: Mapping[str, float]) -> None:
        """Hear of a chunk that a worker wrote; called from another thread."""

    def tick(self) -> None:
        """Be called a few times a second."""

    def say(self, line: str) -> None:
        """Tell the user something that he should know now."""


def annotate_shard(shard: Shard, job: ShardJob, attempt: int) -> str | None:
    """Annotate one shard in this process; runs on a worker.

    Returns:
      None if it is done, else the error. It is returned as text: an exception of some library may not survive the way
      back to the driver.
    """
    worker = get_worker()

    def tell(progress: ChunkProgress) -> None:
        # Another shard may run in this process where the cluster is not ours.
        if progress.shard_id == shard.shard_id:
            worker.log_event(TOPIC, {**progress._asdict(), "attempt": attempt})

    stop = listen(tell)
    try:
        run_shard(shard, job)
    except Exception as error:  # the driver decides what becomes of the shard
        logging.getLogger(__name__).debug("%s failed", shard.describe(), exc_info=True)
        return f"{type(error).__name__}: {error}"
    finally:
        stop()
    return None


def run_shard(shard: Shard, job: ShardJob) -> None:
    """Annotate one shard in this process, as a Beam pipeline of its own.

    Raises:
      Exception: whatever a transform raised.
    """
    # The driver's own process never needs Beam.
    from klue_beam.beam_pipelines.graphs.dataset import build  # noqa: PLC0415
    from klue_beam.beam_pipelines.graphs.pipelines import make_pipeline  # noqa: PLC0415

    with make_pipeline(job.beam_flags) as pipeline:
        build(pipeline, [shard], job.config, job.config_hash, job.dataset, job.threads, job.device)


@dataclass
class _Run:
    """The state of one call of run_shards."""

    client: Client
    job: ShardJob
    observer: Observer
    deaths_allowed: int
    waiting: deque[Shard]
    running: dict[Future, tuple[Shard, str]] = field(default_factory=dict)
    deaths: Counter[Shard] = field(default_factory=Counter)
    errors: Counter[Shard] = field(default_factory=Counter)
    set_aside: dict[Shard, str] = field(default_factory=dict)
    attempts: int = 0

    def hand_out(self) -> None:
        """Give a waiting shard to each process that has none."""
        busy = {address for _, address in self.running.values()}
        for address in [known for known in self.client.nthreads() if known not in busy]:
            if not self.waiting:
                return
            shard = self.waiting.popleft()
            self.attempts += 1
            self.observer.start_attempt(shard, self.attempts)
            future = self.client.submit(
                annotate_shard,
                shard,
                self.job,
                self.attempts,
                pure=False,
                workers=[address],
                allow_other_workers=True,
            )
            self.running[future] = (shard, address)

    def collect(self) -> None:
        """Take the results that are there."""
        for future in [future for future in self.running if future.done()]:
            shard, _ = self.running.pop(future)
            if future.status == "finished":
                error = future.result()
                if error is not None:
                    self._failed(shard, error)
            elif future.status == "error" and isinstance(future.exception(), KilledWorker):
                self._died(shard)
            else:
                raise DriverError(
                    f"The Dask cluster must keep what it is given, got {future.status!r} for {shard.describe()}: "
                    "its scheduler was stopped or lost. Run the same command again: it resumes."
                )
            future.release()

    def _failed(self, shard: Shard, error: str) -> None:
        self.errors[shard] += 1
        if self.errors[shard] >= ERRORS_ALLOWED:
            self._give_up(shard, f"failed {self.errors[shard]} times, the last time with {error}")
        else:
            self.observer.say(f"{shard.describe()} failed and is tried once more: {error}")
            self.waiting.append(shard)

    def _died(self, shard: Shard) -> None:
        self.deaths[shard] += 1
        if self.deaths[shard] >= self.deaths_allowed:
            self._give_up(shard, f"its process died {self.deaths[shard]} times (killed, or out of memory)")
        else:
            self.observer.say(f"The process of {shard.describe()} died; another one takes the shard.")
            self.waiting.append(shard)

    def _give_up(self, shard: Shard, why: str) -> None:
        self.set_aside[shard] = why
        self.observer.say(f"{shard.describe()} is set aside: {why}")


def run_shards(
    client: Client, shards: Sequence[Shard], job: ShardJob, observer: Observer, *, deaths_allowed: int = DEATHS_ALLOWED
) -> dict[Shard, str]:
    """Annotate shards on a Dask cluster, one at a time in each process.

    Args:
      client: of the cluster.
      shards: in the order in which they are handed out.
      job: what they have in common.
      observer: hears of progress and of trouble.
      deaths_allowed: how often a shard's process may die.

    Returns:
      The shards that were set aside, each with the reason; all others are done.

    Raises:
      DriverError: if the cluster has no worker for ten minutes, or its scheduler is lost.
    """
    run = _Run(client, job, observer, deaths_allowed, deque(shards))
    client.subscribe_topic(TOPIC, lambda event: observer.hear(event[1]))
    worked_at = time.monotonic()
    while run.waiting or run.running:
        run.hand_out()
        if run.running:
            worked_at = time.monotonic()
            with contextlib.suppress(TimeoutError):
                wait(list(run.running), timeout=TICK_SECONDS, return_when="FIRST_COMPLETED")
        elif time.monotonic() - worked_at > WORKERS_TIMEOUT_SECONDS:
            raise DriverError(
                f"The Dask cluster must have a worker, got none for {WORKERS_TIMEOUT_SECONDS} seconds. "
                "Start workers, then run the same command again: it resumes."
            )
        else:
            time.sleep(TICK_SECONDS)
        run.collect()
        observer.tick()
    client.unsubscribe_topic(TOPIC)
    return run.set_aside


@contextlib.contextmanager
def _shielded_from_interrupts() -> Iterator[None]:
    """Let threads and processes that start inside never see Ctrl-C; the main thread gets it, and stops them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_cluster(cluster: LocalCluster) -> None:
    """Stop the cluster at once: a worker holds nothing that is worth the seconds in which it would end by itself."""
    for nanny in cluster.workers.values():
        if nanny.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)
    cluster.close()


@contextlib.contextmanager
def _local_client(workers: int, threads: int) -> Iterator[Client]:
    set_thread_variables(threads)
    logs = [logging.getLogger(f"distributed.{name}") for name in ("scheduler", "batched")]
    with dask.config.set(DASK_SETTINGS), contextlib.ExitStack() as stack:
        for log in logs:
            stack.callback(setattr, log, "disabled", log.disabled)
        with _shielded_from_interrupts():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                # Whoever can reach a scheduler runs code as this user; with keys of this run alone nobody else can.
                security=Security.temporary(),
                memory_limit=MEMORY_LIMIT // workers,
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={
                    # The driver counts deaths itself.
                    "allowed_failures": 0,
                    # Any free port: a fixed one would clash with another job's.
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",
                },
            )
            stack.callback(_end_cluster, cluster)
            client = stack.enter_context(Client(cluster))
        try:
            yield client
        finally:
            # Stopped in the middle, they would report every message that nobody is there for any more.
            for log in logs:
                log.disabled = True


def run_on_dask(cluster: ClusterConfig, shards: Sequence[Shard], job: ShardJob, observer: Observer) -> dict[Shard, str]:
    """Annotate shards in processes of this machine, or on the Dask cluster that `cluster` names.

    Returns:
      What run_shards gives.

    Raises:
      DriverError: as run_shards, and if the scheduler cannot be reached.
    """
    if cluster.scheduler is None:
        with _local_client(cluster.count_workers(len(shards), CPU_COUNT), cluster.threads) as client:
            return run_shards(client, shards, job, observer)
    try:
        client = Client(cluster.scheduler, timeout=10)
    except OSError as error:
        raise DriverError(
            f"`--scheduler` must be the address of a Dask scheduler that answers, got {cluster.scheduler!r}. "
            "Start one with `dask scheduler`, or leave the option out."
        ) from error
    with client:
        # That scheduler retries on its own (allowed-failures of its configuration) before it reports a death.
        return run_shards(client, shards, job, observer, deaths_allowed=1)
