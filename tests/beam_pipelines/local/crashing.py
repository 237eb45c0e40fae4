"""Runs klue-beam and, in a worker, at a chosen moment, kills: `crashing.py VICTIM MOMENT=MARKER ... -- ARGUMENT ...`.

The workers start from this file too, so it is in place in each of them. A marker is a file that makes its moment
strike once in all processes and runs; without one (`MOMENT=`) it strikes each time that it comes.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from klue_beam.beam_pipelines.cli import main
from klue_beam.schemas.shard import ATTEMPTS_DIR, DATA_DIR, RECEIPTS_DIR, Chunk
from klue_beam.transforms.read import shards as read
from klue_beam.transforms.write import publish as write_publish

VICTIMS: dict[str, Callable[[], None]] = {
    "worker": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "driver": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "all": lambda: os.killpg(os.getpgrp(), signal.SIGKILL),
    "ctrl-c": lambda: os.killpg(os.getpgrp(), signal.SIGINT),
}
SEPARATOR = sys.argv.index("--")
VICTIM = VICTIMS[sys.argv[1]]
MARKERS = dict(moment.split("=") for moment in sys.argv[2:SEPARATOR])


def strike(moment: str) -> None:
    """Kill the victim if this is a moment for it."""
    marker = MARKERS.get(moment)
    if marker is None:
        return
    if marker:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    VICTIM()


def read_shard(*arguments: object) -> Iterator[Chunk]:
    """Strike behind the first chunk of a shard."""
    for chunk in read_whole_shard(*arguments):
        yield chunk
        strike("reading")


def write(attempt: write_publish.AttemptFile, batch: object) -> None:
    """Strike while an attempt file is open and has rows; only one shard has rejects."""
    write_batch(attempt, batch)
    strike("writing-rejects" if ".rejects-" in attempt.path.name else "writing")


def link(attempt: Path, target: Path) -> None:
    """Strike between what is published one after another; data is followed by rejects in one shard only."""
    folder = target.parent
    has_rejects = any((folder.parent / ATTEMPTS_DIR).glob(f"{target.stem}.rejects-*"))
    if folder.name == RECEIPTS_DIR:
        strike("before-receipt")
    link_file(attempt, target)
    if folder.name == DATA_DIR and has_rejects:
        strike("before-rejects")


read_whole_shard, read.read_shard = read.read_shard, read_shard
write_batch, write_publish.AttemptFile.write = write_publish.AttemptFile.write, write
link_file, os.link = os.link, link

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background was started without it
    sys.exit(main(sys.argv[SEPARATOR + 1 :]))
