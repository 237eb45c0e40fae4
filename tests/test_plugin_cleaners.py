"""Cleaners from packages of one's own, one file each by entry point: one drops documents, one changes text."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from klue_beam.transforms.plan.dataset import open_dataset
from tests.plugins import install_plugin, plugin_environment
from tests.tiny_models import tiny_checkpoint

DROPS = """
from klue_beam.transforms.clean.base import Drop, TextCleaner


class DropAdvertising(TextCleaner):
    options = {"word": "광고"}

    def clean_text(self, text, options):
        return Drop("advertising") if options["word"] in text else text


CLEANER = DropAdvertising()
"""

CHANGES = """
from klue_beam.transforms.clean.base import TextCleaner


class StripTags(TextCleaner):
    version = "2"

    def clean_text(self, text, options):
        return text.replace("<p>", "")


CLEANER = StripTags()
"""


WRONG = """
import sys

import pyarrow as pa

from klue_beam.schemas.config import CleanStep
from klue_beam.schemas.document import DOCUMENT
from klue_beam.transforms.clean.base import Cleaned, Cleaner
from klue_beam.transforms.clean.texts import clean_texts


class Wrong(Cleaner):
    def clean(self, rows, options):
        return Cleaned(pa.array({"few": [], "numbers": [1], "null": [None]}[sys.argv[1]]).cast(sys.argv[2]))


CLEANER = Wrong()

if __name__ == "__main__":
    row = {"doc_id": "a", "source": "a.txt", "record_index": 0, "text": "글"}
    clean_texts(pa.RecordBatch.from_pylist([row], schema=DOCUMENT), [CleanStep(name="wrong")])
"""


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ("few", "string", "The cleaner wrong must answer 1 rows with 1 strings, got 0 of string. Correct it."),
        ("numbers", "int64", "The cleaner wrong must answer 1 rows with 1 strings, got 1 of int64. Correct it."),
        ("null", "string", "The cleaner wrong must give a text for each document, got a null for a text. Correct it."),
    ],
)
def test_an_answer_that_is_none_is_told(tmp_path: Path, answer: str, kind: str, message: str) -> None:
    folder = install_plugin(tmp_path / "wrong", "wrong", WRONG, {"klue_beam.cleaners": {"wrong": "wrong:CLEANER"}})
    command = [sys.executable, "-m", "wrong", answer, kind]
    done = subprocess.run(
        command, env=plugin_environment(folder), capture_output=True, text=True, timeout=300, check=False
    )
    assert message in done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("packages")
    install_plugin(folder, "no_ads", DROPS, {"klue_beam.cleaners": {"no_ads": "no_ads:CLEANER"}})
    install_plugin(folder, "no_tags", CHANGES, {"klue_beam.cleaners": {"no_tags": "no_tags:CLEANER"}})
    return plugin_environment(folder)


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "klue_beam", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_a_dataset_is_cleaned_counted_and_verified(tmp_path: Path, environment: Mapping[str, str]) -> None:
    """What is dropped is told by step and reason, stored, and no document is missed."""
    model = str(tiny_checkpoint(tmp_path / "model"))
    texts = ["<p>첫 글이다.\n짧다.", "광고 글이다.", "<p>", "  ", "둘째 <p>글이다."]
    lines = [json.dumps({"id": n, "text": text}, ensure_ascii=False) for n, text in enumerate(texts)] + ["{"]
    (tmp_path / "a.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    output = tmp_path / "out"
    call = ["annotate", "--input", str(tmp_path / "a.jsonl"), "--output", str(output), "--model", model]
    call += ["--tasks", "tc", "--splitter", "newline", "--workers", "1", "--keep_dropped"]
    clean = ["--clean", "no_tags,no_ads:word=광고", "min_sentence_length:characters=4"]
    done = run(environment, *call, *clean)
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    assert "dropped by cleaning 3 min_sentence_length: fewer than 4 characters 1 no_ads: advertising 1" in told
    assert "no_tags: nothing left 1 documents without a sentence left 2 sentences 2" in told
    checked = run(environment, "verify", str(output))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    dataset = open_dataset(output)
    rows = dataset.rows().read_all().to_pylist()
    assert [(row["doc_id"], row["begin"], row["text"]) for row in rows] == [
        ("0", 0, "첫 글이다."),
        ("4", 0, "둘째 글이다."),
    ]
    dropped = dataset.dropped(["record_index", "begin", "step", "reason", "text"]).read_all().to_pylist()
    assert [tuple(row.values()) for row in dropped] == [
        (2, None, "no_tags", "nothing left", "<p>"),
        (1, None, "no_ads", "advertising", "광고 글이다."),
        (0, 7, "min_sentence_length", "fewer than 4 characters", "짧다."),
    ]
    again = run(environment, *call, "--clean", "no_tags")
    assert again.returncode == 2
    assert "A dataset must keep its configuration, got another: clean was" in " ".join(again.stderr.split())
