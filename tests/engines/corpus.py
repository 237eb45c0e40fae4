"""The corpus that every engine annotates, and how its rows are compared with those of the local run."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.schemas.shard import ATTEMPTS_DIR, DATA_DIR, RECEIPTS_DIR, REJECTS_DIR, SUCCESS_FILE

TIME_LIMIT_SECONDS = 300
"""A client whose worker is killed hangs for ever; no client here may take longer."""

ENVIRONMENT = {
    **os.environ,
    # Workers are started as a literal `python`: it must be this one.
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What is annotated on every engine.

    Attributes:
      arguments: the options of `klue-beam annotate` that decide the rows.
      local: the dataset that the local driver made with them.
    """

    arguments: tuple[str, ...]
    local: Path

    def command(self, output: Path, *flags: str) -> list[str]:
        """The command that annotates the corpus into a folder, with the options of an engine."""
        command = [sys.executable, "-m", "klue_beam", "annotate", *self.arguments]
        return [*command, "--output", str(output), *flags]

    def annotate(self, output: Path, *flags: str) -> None:
        """Annotate the corpus on the engine that `flags` name, and fail with what it printed if that fails."""
        done = subprocess.run(
            self.command(output, *flags),
            cwd=output.parent,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def read_rows(dataset: Path) -> pa.Table:
    """All rows of a dataset in the order of their identity."""
    rows = pa.concat_tables([pq.read_table(path) for path in sorted((dataset / DATA_DIR).rglob("*.parquet"))])
    return rows.sort_by([(name, "ascending") for name in ("source", "record_index", "sentence_index")])


def hash_files(dataset: Path) -> Mapping[str, str]:
    """The hash of each data, reject and receipt file by its path in the dataset."""
    paths = [path for folder in (DATA_DIR, REJECTS_DIR, RECEIPTS_DIR) for path in (dataset / folder).rglob("*.*")]
    return {path.relative_to(dataset).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def check_same(dataset: Path, local: Path) -> None:
    """Check that a dataset is complete and, bit for bit, what the local run made."""
    assert (dataset / SUCCESS_FILE).is_file()
    assert not list((dataset / ATTEMPTS_DIR).rglob("*"))
    rows, expected = read_rows(dataset), read_rows(local)
    assert rows.num_rows == expected.num_rows
    assert rows.schema.equals(expected.schema)
    assert not [name for name in rows.column_names if not rows.column(name).equals(expected.column(name))]
    assert hash_files(dataset) == hash_files(local)
