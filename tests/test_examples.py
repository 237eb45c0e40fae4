"""The example script and the README's query, as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.tiny_models import tiny_checkpoint


@pytest.fixture(scope="module")
def annotated(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example script annotated the sample into out/sample."""
    folder = tmp_path_factory.mktemp("example")
    model = folder / "model"
    tiny_checkpoint(model)
    sample = checkout / "examples" / "sample" / "sample.jsonl"
    done = subprocess.run(
        [sys.executable, str(checkout / "examples" / "pipeline.py"), "out/sample", str(sample)],
        cwd=folder,
        env={**os.environ, "MODEL": str(model), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sample.jsonl: 48 documents, " in done.stdout
    return folder


def test_the_example_makes_a_dataset_with_its_tasks(annotated: Path) -> None:
    (path,) = (annotated / "out" / "sample" / "data").glob("*.parquet")
    table = pq.read_table(path)
    assert {"topic", "entities"} <= set(table.column_names)
    assert not {"relations", "dependencies"} & set(table.column_names)
    assert len(set(table.column("doc_id").to_pylist())) == 48


@pytest.mark.parametrize("where", ["examples/query.sql", "README.md"])
def test_the_query_counts_entities_by_label_and_topic(
    checkout: Path, annotated: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The query as it is published, over the dataset, against the same count in Python."""
    text = (checkout / where).read_text(encoding="utf-8")
    query = text.split("```sql\n")[1].split("```")[0] if where.endswith(".md") else text
    monkeypatch.chdir(annotated)
    counted = {(topic, entity): n for topic, entity, n in duckdb.sql(query).fetchall()}
    table = pq.read_table(next((annotated / "out" / "sample" / "data").glob("*.parquet")))
    expected: dict[tuple[str, str], int] = {}
    for topic, entities in zip(*(table.column(name).to_pylist() for name in ("topic", "entities")), strict=True):
        for entity in entities:
            key = (topic["label"], entity["label"])
            expected[key] = expected.get(key, 0) + 1
    assert expected
    assert counted == expected


def test_the_readme_reads_a_dataset_back(annotated: Path, checkout: Path) -> None:
    blocks = (checkout / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    (code,) = (block.split("```")[0] for block in blocks if "open_dataset" in block)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=annotated, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "count" in done.stdout
