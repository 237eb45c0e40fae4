"""A process-wide hook that hears of each chunk written, so that a driver can draw progress within a shard."""

from collections.abc import Callable
from typing import NamedTuple


class ChunkProgress(NamedTuple):
    """What one chunk brought, counted where it was written; `amount` in the unit in which the format counts."""

    shard_id: int
    documents: int
    sentences: int
    rejects: int
    amount: int


_listeners: list[Callable[[ChunkProgress], None]] = []


def listen(listener: Callable[[ChunkProgress], None]) -> Callable[[], None]:
    """Call `listener` for each chunk that this process writes; the function given back ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def report(progress: ChunkProgress) -> None:
    """Tell the listeners of this process; does nothing where there are none."""
    for listener in tuple(_listeners):
        listener(progress)
