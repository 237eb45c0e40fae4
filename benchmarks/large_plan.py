"""What it costs a worker to begin a shard, in a plan of few shards and in one of many: it should be the same.

    python benchmarks/large_plan.py --shards 100 250000

A worker is handed a shard with all that it needs: beginning it means decoding it, asking for its receipts by name, and
reading its first chunk. The driver alone loads the plan, once a run; how long that takes is printed too.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
from rich.console import Console
from rich.table import Table

from klue_beam.schemas.config import AnnotateConfig, hash_config
from klue_beam.schemas.shard import Plan, Shard, SourceRange
from klue_beam.transforms.formats.bytes import stat_source
from klue_beam.transforms.plan.plan import load_plan, save_plan
from klue_beam.transforms.plan.receipts import load_receipts
from klue_beam.transforms.read.shards import read_shard

REPEATS = 200


def make_dataset(folder: Path, n_shards: int) -> Path:
    """Write a dataset with a plan of so many shards, all of them ranges of one file."""
    text = "한 문장이다.\n".encode()
    source = folder / f"{n_shards}.txt"
    source.write_bytes(text * n_shards)
    stood = stat_source(str(source))
    begin = len(text)
    shards = [
        Shard(n, (SourceRange(stood.path, stood.size_bytes, stood.version, n * begin, (n + 1) * begin, n),))
        for n in range(n_shards)
    ]
    config = AnnotateConfig().to_dict()
    dataset = folder / f"dataset-{n_shards}"
    save_plan(str(dataset), Plan(tuple(shards), config, hash_config(config)))
    return dataset


def spend(work: Callable[[], object]) -> float:
    """Do some work; give the processor time that it took, in seconds."""
    before = time.process_time()
    work()
    return time.process_time() - before


def begin_shard(dataset: str, encoded: bytes) -> None:
    """Do what a worker does with a shard up to its first chunk."""
    shard = beam.coders.registry.get_coder(Shard).decode(encoded)
    next(read_shard(shard, AnnotateConfig().read, load_receipts(dataset, shard.shard_id)))


def main() -> None:
    """Measure each plan and print what a shard costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 250_000], metavar="N", help="of each plan.")
    table = Table("shards", "to begin one", "to load the plan, once", "peak memory", box=None, pad_edge=False)
    with tempfile.TemporaryDirectory(prefix="klue-beam-large-plan-") as folder:
        for n_shards in parser.parse_args().shards:
            dataset = str(make_dataset(Path(folder), n_shards))
            plan_seconds = spend(lambda dataset=dataset: load_plan(dataset))
            shards = load_plan(dataset).shards
            coder = beam.coders.registry.get_coder(Shard)
            encoded = [coder.encode(shards[number * len(shards) // REPEATS]) for number in range(REPEATS)]
            begin_shard(dataset, encoded[0])
            seconds = spend(lambda dataset=dataset, encoded=encoded: [begin_shard(dataset, one) for one in encoded])
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            table.add_row(
                f"{n_shards:,}", f"{seconds / REPEATS * 1e3:.2f} ms", f"{plan_seconds:.2f} s", f"{peak:,.0f} MB"
            )
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
