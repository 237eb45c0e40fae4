"""How long work takes, and a process that keeps to one thread."""

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from klue_beam.transforms.base.threads import use_threads

Result = TypeVar("Result")


class Spent(NamedTuple):
    """Seconds by the wall clock, and seconds in which this process had a core: the same on a machine at rest.

    >>> Spent(12.0, 8.0).ratio_to(Spent(3.0, 4.0))
    Spent(wall=4.0, cpu=2.0)
    """

    wall: float
    cpu: float

    def ratio_to(self, other: "Spent") -> "Spent":
        """Say how many times as long this took as the other."""
        return Spent(self.wall / other.wall, self.cpu / other.cpu)

    def plus(self, other: "Spent") -> "Spent":
        """Add the other's share."""
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def minus(self, other: "Spent") -> "Spent":
        """Leave the other's share out."""
        return Spent(self.wall - other.wall, self.cpu - other.cpu)


def now() -> Spent:
    """Read both clocks."""
    return Spent(time.perf_counter(), time.process_time())


def time_call(work: Callable[[], Result]) -> tuple[Result, Spent]:
    """Do the work; give its result and what it took."""
    began = now()
    result = work()
    return result, now().minus(began)


def use_one_thread() -> None:
    """Keep this process, and those that it starts, to one thread of arithmetic each."""
    use_threads(1)
