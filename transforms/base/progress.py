"""A process-wide hook that hears of each chunk written, so that a driver can draw progress within a shard."""

import threading
from collections.abc import Callable
from typing import NamedTuple


class ChunkProgress(NamedTuple):
    """What one chunk brought, counted where it was written.

    Attributes:
      shard_id: of which shard.
      documents, sentences, rejects: in it.
      amount: in the unit in which the format counts.
      expansion: of a compressed file, unpacked bytes a packed byte, as far as it was read; 0 for others.
    """

    shard_id: int
    documents: int
    sentences: int
    rejects: int
    amount: int
    expansion: float


_reading = threading.local()


def note_expansion(expansion: float) -> None:
    """Note how many bytes a byte of the compressed file has become that this thread reads."""
    _reading.expansion = expansion


def noted_expansion() -> float:
    """Give what this thread noted last, 0 if nothing; a fused chain reads and writes a chunk in one thread."""
    return getattr(_reading, "expansion", 0.0)


_listeners: list[Callable[[ChunkProgress], None]] = []


def listen(listener: Callable[[ChunkProgress], None]) -> Callable[[], None]:
    """Call `listener` for each chunk that this process writes; the function given back ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def report(progress: ChunkProgress) -> None:
    """Tell the listeners of this process; does nothing where there are none."""
    for listener in tuple(_listeners):
        listener(progress)
