"""A fifth task from a package of one's own, one file by entry point: it learns, annotates, is verified and scored."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from klue_beam.transforms.plan.dataset import open_dataset
from tests.plugins import install_plugin, plugin_environment
from tests.tiny_models import tiny_checkpoint

SENTIMENT = '''
from klue_beam.transforms.tasks.base import Option
from klue_beam.transforms.tasks.classification import SentenceClassification


class Sentiment(SentenceClassification):
    """Whether a sentence praises or complains."""

    name = "sentiment"
    title = "sentiment"
    column = "mood"
    labels = ("좋음", "나쁨")
    label_sets_version = "sentiment-1"
    options = (Option("mood_of", "writer", "whose mood is meant"),)


TASK = Sentiment()
'''
PRAISE = ("정말 좋아요", "아주 훌륭해요", "다시 사고 싶어요", "마음에 들어요")
COMPLAINT = ("정말 싫어요", "너무 실망했어요", "다시는 안 사요", "돈이 아까워요")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, in a folder of its own."""
    entry_points = {"klue_beam.tasks": {"sentiment": "klue_mood:TASK"}}
    return install_plugin(tmp_path_factory.mktemp("plugin") / "path", "klue_mood", SENTIMENT, entry_points)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of klue-beam's own tasks."""
    return tiny_checkpoint(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled rows, as a table of text and label."""
    path = tmp_path_factory.mktemp("rows") / "mood.csv"
    lines = [
        f"{text} {i},{label}"
        for i in range(40)
        for text, label in ((PRAISE[i % 4], "좋음"), (COMPLAINT[i % 4], "나쁨"))
    ]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


def run(plugin: Path, *arguments: object) -> str:
    command = [sys.executable, "-m", "klue_beam", *map(str, arguments)]
    done = subprocess.run(command, env=plugin_environment(plugin), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(plugin: Path, base: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the fifth task alone, on the encoder of the other one, calibrated."""
    folder = tmp_path_factory.mktemp("trained") / "moods"
    run(
        plugin, "train", "--task", "sentiment", "--data", f"sentiment={rows}", "--base", base, "--output", folder,
        "--epochs", "sentiment=60", "--frozen_layers", "-1", "--threads", "1", "--head_rate", "0.01", "--batch_tokens",
        "400", "--encoder_rate", "0.001",
    )  # fmt: skip
    run(plugin, "calibrate", "--model", folder, "--sentiment_data", rows, "--threads", "1")
    return folder


def test_a_model_says_what_its_tasks_say(trained: Path) -> None:
    """The labels stand in the model's folder, beside the fields that every version has written."""
    fields = json.loads((trained / "klue_beam.json").read_text(encoding="utf-8"))
    assert fields["tasks"] == ["sentiment"]
    assert fields["specs"] == {"sentiment": {"labels": ["좋음", "나쁨"]}}
    assert len(fields["calibration"]["sentiment"]["bias"]) == 2


def test_a_fifth_task_annotates_beside_the_others(plugin: Path, base: Path, trained: Path, tmp_path: Path) -> None:
    """Its column comes last, is checked and verified, and drawn; the others' are what they are without it."""
    source = tmp_path / "reviews.txt"
    source.write_text("정말 좋아요 101\n너무 실망했어요 102\n", encoding="utf-8")
    common = ("--input", source, "--model", base, "--splitter", "none", "--workers", "1")
    with_it, without = tmp_path / "with", tmp_path / "without"
    drawn = run(plugin, "annotate", *common, "--output", with_it, "--sentiment_model", trained, "--preview", "2")
    run(plugin, "annotate", *common, "--output", without)
    run(plugin, "verify", with_it)
    (found, plain) = (read_rows(folder) for folder in (with_it, without))
    assert [row["mood"]["label"] for row in found] == ["좋음", "나쁨"]
    assert [{name: value for name, value in row.items() if name != "mood"} for row in found] == plain
    assert "좋음" in drawn
    assert "mood.label AS mood" in drawn


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for batch in open_dataset(folder).rows() for row in batch.to_pylist()]


def test_a_fifth_task_is_scored(plugin: Path, trained: Path, rows: Path, tmp_path: Path) -> None:
    """What was learnt is told, in the words of the task."""
    told = run(
        plugin, "evaluate", "--task", "sentiment", "--data", rows, "--model", trained, "--threads", "1",
        "--json", tmp_path / "scores.json",
    )  # fmt: skip
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["metrics"]["macro_f1"] > 90
    assert "macro F1" in told


def test_without_its_package_the_model_names_the_task(trained: Path, tmp_path: Path) -> None:
    """The remedy is the package, not another model."""
    source = tmp_path / "a.txt"
    source.write_text("글\n", encoding="utf-8")
    command = ["annotate", "--input", str(source), "--output", str(tmp_path / "out"), "--model", str(trained)]
    done = subprocess.run(
        [sys.executable, "-m", "klue_beam", *command],
        env=plugin_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Install the package that brings the task sentiment" in " ".join(done.stderr.split())
