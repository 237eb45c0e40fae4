"""What an exporter is, and how one is run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from klue_beam.schemas.registry import EXPORTERS
from klue_beam.transforms.base.stores.making import make_whole
from klue_beam.transforms.plan.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Exporter:
    """Writes a dataset in another format.

    A package of one's own adds one by the entry point `klue_beam.exporters`: see klue_beam.schemas.registry.

    Attributes:
      name: what it is chosen by.
      summary: what it writes, in a phrase.
      suffix: how the file's name ends, as `.jsonl`; "" if it writes a folder of files.
      write: called with the dataset and a path where nothing is: makes the file there, or the folder. It reads
        `dataset.rows()` batch by batch, so that memory stays flat. The path gets its final name when it returns.
    """

    name: str
    summary: str
    suffix: str
    write: Callable[[Dataset, Path], None]


def export(dataset: Dataset, to: str, output: str | Path) -> None:
    """Write a dataset in another format; the output is there whole, or not at all.

    Args:
      dataset: what `open_dataset` gave.
      to: an exporter's name.
      output: the file to write, or for an exporter that writes several the folder. Nothing may be there yet.

    Raises:
      ValueError: if there is no such exporter, or a file of the dataset is broken.
      FileExistsError: if `output` is there.
      OSError: if it cannot be written, or a file of the dataset cannot be read.
    """
    EXPORTERS.require(to, "to")
    exporter: Exporter = EXPORTERS[to]
    with make_whole(Path(output), "output") as path:
        exporter.write(dataset, path)
