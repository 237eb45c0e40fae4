"""A store of a package of one's own, without folders, takes a whole dataset: nobody else knows where files lie."""

import json
import subprocess
import sys
from pathlib import Path

from klue_beam import open_dataset
from klue_beam.schemas.shard import PLAN_FILE
from tests.plugins import install_plugin, plugin_environment
from tests.transforms.verify.test_verify import JSONL, make, write_sources

CODE = """
import json, sys
import klue_beam
from klue_beam.transforms.verify.dataset import verify
from memory_store import OBJECTS
from tests.transforms.verify.test_verify import JSONL, make

sources, export = sys.argv[1:-1], sys.argv[-1]
make("memory://bucket/out", sources[:2], JSONL)
make("memory://bucket/out", sources, JSONL)  # the plan is replaced
report, dataset = verify("memory://bucket/out"), klue_beam.open_dataset("memory://bucket/out")
klue_beam.export(dataset, "jsonl", export)
try:
    dataset.duckdb()
except ValueError as error:
    refused = str(error)
files = {url.removeprefix("memory://bucket/out/"): content.hex() for url, (content, _) in OBJECTS.items()}
rows = dataset.rows().read_all().num_rows
print(json.dumps({"faults": report.faults, "rows": rows, "files": files, "refused": refused}))
"""


def test_a_dataset_in_a_store_without_folders_has_the_bytes_of_one_on_the_disk(tmp_path: Path, checkout: Path) -> None:
    sources = [str(path) for path in write_sources(tmp_path)]
    local = tmp_path / "out"
    make(local, sources[:2], JSONL)
    make(local, sources, JSONL)
    stores = {"klue_beam.stores": {"memory": "memory_store:MemoryStore"}}
    code = Path(__file__).with_name("memory_store.py").read_text(encoding="utf-8")
    package = install_plugin(tmp_path / "site", "memory_store", code, stores)
    command = [sys.executable, "-c", CODE, *sources, str(tmp_path / "rows.jsonl")]
    done = subprocess.run(
        command, cwd=checkout, env=plugin_environment(package), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["faults"] == []
    files = {str(path.relative_to(local)): path.read_bytes().hex() for path in local.rglob("*") if path.is_file()}
    assert told["files"].keys() == files.keys()
    assert {key for key, content in files.items() if told["files"][key] != content} == {PLAN_FILE}  # it has the address
    assert told["rows"] == open_dataset(local).rows().read_all().num_rows
    assert len((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()) == told["rows"]
    assert "DuckDB reads files of this machine, got 'memory://bucket/out/data/part-" in told["refused"]
