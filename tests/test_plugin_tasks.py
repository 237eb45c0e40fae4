"""A task of a package of one's own, one file by entry point: it is learnt, fitted, scored, annotated and verified."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.plugins import install_plugin, plugin_environment
from tests.tiny_models import tiny_checkpoint

SENTIMENT = """
from klue_beam.transforms.tasks.classification import SentenceClassification


class Sentiment(SentenceClassification):
    name = "sentiment"
    title = "sentiment"
    column = "sentiment"
    labels = ("positive", "negative")
    label_sets_version = "sentiment-1"


TASK = Sentiment()
"""

COMMANDS = """
import sys
from klue_beam.beam_pipelines.cli import main

base, rows, folder = sys.argv[1:]
model, data = f"{folder}/model", f"{folder}/data"
learn = f"train --task sentiment --data {rows} --dev {rows} --base {base} --output {model} --epochs sentiment=12"
numbers = "--frozen_layers -1 --encoder_rate 3e-3 --head_rate 1e-2 --batch_tokens 300 --threads 1"
for call in (
    f"{learn} {numbers}",
    f"calibrate --model {model} --sentiment_data {rows} --threads 1",
    f"evaluate --task sentiment --data {rows} --model {model} --rows second_half --json {folder}/scores.json",
    f"annotate --input {rows} --output {data} --model {model} --workers 1 --preview 1",
    f"verify {data}",
):
    code = main(call.split())
    assert code == 0, f"{call} gave {code}"
"""


def write_rows(path: Path) -> Path:
    """Write labelled rows, whose label hangs on one word."""
    ends = {"positive": "정말 재미있었지만", "negative": "조금 아쉬웠어요"}
    rows = [
        {"text": f"{n}번째 영화는 {ends[label]}", "label": label}
        for n, label in ((n, ("positive", "negative")[n % 2]) for n in range(60))
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_fifth_task_is_one_file(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    entry_points = {"klue_beam.tasks": {"sentiment": "my_sentiment:TASK"}}
    package = install_plugin(tmp_path / "site", "my_sentiment", SENTIMENT, entry_points)
    base = tiny_checkpoint(tmp_path / "base")
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, base, rows, tmp_path],
        env=plugin_environment(package),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # It was learnt, and fitted:
    assert "dev sentiment macro_f1" in done.stderr
    spec = json.loads((tmp_path / "model" / "klue_beam.json").read_text(encoding="utf-8"))
    assert spec["tasks"] == ["sentiment"]
    assert spec["specs"]["sentiment"] == {"labels": ["positive", "negative"]}
    assert len(spec["calibration"]["sentiment"]["bias"]) == 2
    # It was scored, and there is no KLUE-BERT-base to stand beside:
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["metrics"]["macro_f1"] > 95
    assert 20 < scores["rows"] < 40
    assert "KLUE-BERT-base" not in done.stdout
    # Its column is in the data, and right:
    annotated = pq.read_table(tmp_path / "data" / "data").to_pylist()
    gold = {row["text"]: row["label"] for row in map(json.loads, rows.read_text(encoding="utf-8").splitlines())}
    assert len(annotated) == 60
    assert all(set(row) >= {"text", "sentiment", "flags"} and "topic" not in row for row in annotated)
    right = [row["sentiment"]["label"] == gold[row["text"]] for row in annotated]
    assert sum(right) > 57
