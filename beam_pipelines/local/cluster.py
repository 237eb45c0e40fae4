"""Where shards run: a choice of each run, which no row depends on."""

from dataclasses import dataclass

from klue_beam.schemas.config import DEVICES, require
from klue_beam.schemas.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Where shards run.

    Attributes:
      workers: processes on this machine; None for as many as `threads` leaves room for.
      threads: threads of each process for model arithmetic.
      device: where each process does it, one of DEVICES.
      scheduler: address of a Dask scheduler that is already there, None for processes on this machine.
    """

    threads: int = option(
        1,
        "threads of each process; processes times threads should be the cores, since another process is worth more "
        "than another thread; scores may differ in their last bits",
    )
    workers: int | None = option(None, "processes on this machine (default: as many as there are cores)")
    device: str = option(
        "auto",
        "where the models run: cuda is a GPU, which several processes may share; auto takes it where torch sees one, "
        "but for int8",
        choices=DEVICES,
    )
    scheduler: str | None = option(
        None,
        "run on the Dask cluster whose scheduler is at tcp://HOST:PORT; its machines must see the same files",
        metavar="ADDRESS",
    )

    def __post_init__(self) -> None:
        require(self.threads >= 1, "`--threads` must be at least 1", self.threads, "Leave it out for the default.")
        require(
            self.workers is None or self.workers >= 1,
            "`--workers` must be at least 1",
            self.workers,
            "Leave it out for one per core.",
        )
        require(
            self.scheduler is None or not self.workers,
            "`--workers` must be left out with `--scheduler`: that cluster has its own",
            self.workers,
            "Leave one of the two out.",
        )
        require(
            self.scheduler is None or "://" in self.scheduler,
            "`--scheduler` must be an address like tcp://HOST:8786",
            self.scheduler,
            "Give what `dask scheduler` printed when it started.",
        )

    def count_workers(self, shards: int, cores: int) -> int:
        """Tell how many local processes a number of shards needs: processes times threads fill the cores.

        >>> ClusterConfig(workers=8).count_workers(shards=3, cores=2), ClusterConfig().count_workers(100, cores=16)
        (3, 16)
        """
        return min(self.workers or max(1, cores // self.threads), max(1, shards))
