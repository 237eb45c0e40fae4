"""A format from a package of one's own, one file by entry point: annotated, verified, told by its suffix."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from klue_beam.transforms.plan.dataset import open_dataset
from tests.plugins import install_plugin, plugin_environment
from tests.tiny_models import tiny_checkpoint

LINES = """
from klue_beam.transforms.formats.base import Document, RecordError
from klue_beam.transforms.formats.records import LineFormat, decode_record


class Tabbed(LineFormat):
    suffixes = (".tab",)

    def parse(self, record, config):
        fields = decode_record(record, config).split("\\t")
        if len(fields) != 2:
            raise RecordError(f"a line must have two fields, got {len(fields)}")
        return Document(fields[0], fields[1], None)


FORMAT = Tabbed()
"""

LETTERS = """
import json

from klue_beam.transforms.formats.base import Document, Record
from klue_beam.transforms.formats.records import ByteFormat, decode_record, line_records


class Letters(ByteFormat):
    \"\"\"Letters end with a line of dashes; the first line of a file names who wrote them all.\"\"\"

    suffixes = (".letters",)
    is_cut = False

    def records(self, window, config):
        lines = line_records(window, config.max_record_bytes)
        begin, author, letter = window.position, None, []
        for line in lines:
            if author is None:
                author = line.content.decode()
            elif line.content == b"-----":
                body = json.dumps([author, b"\\n".join(letter).decode()]).encode()
                yield Record(begin, window.position, body, len(body), True)
                begin, letter = window.position, []
            else:
                letter.append(line.content)

    def parse(self, record, config):
        author, text = json.loads(decode_record(record, config))
        return Document(None, text, json.dumps({"author": author}, ensure_ascii=False))


FORMAT = Letters()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("packages")
    for name, source in (("tabbed", LINES), ("letters", LETTERS)):
        install_plugin(folder, name, source, {"klue_beam.formats": {name: f"{name}:FORMAT"}})
    return plugin_environment(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("model")))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "klue_beam", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def annotate(folder: Path, model: str, environment: Mapping[str, str], *more: str) -> list[tuple[str, str]]:
    """Annotate all files of a folder, verify the dataset, and give the ids with their sentences."""
    output = folder / "out"
    arguments = ["--model", model, "--tasks", "tc", "--splitter", "newline", "--workers", "1", *more]
    done = run(["annotate", "--input", str(folder), "--output", str(output), *arguments], environment)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = run(["verify", str(output)], environment)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    rows = open_dataset(output).rows().read_all()
    return list(zip(rows["doc_id"].to_pylist(), rows["text"].to_pylist(), strict=True))


def test_lines_of_ones_own(tmp_path: Path, model: str, environment: Mapping[str, str]) -> None:
    """Known by their suffix, cut into shards, a line without a tab rejected, blank texts counted."""
    lines = [f"{n}\t{n}번째 글이다." for n in range(60)] + ["no tab", "blank\t  "]
    (tmp_path / "a.tab").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    found = annotate(tmp_path, model, environment, "--shard_bytes", "500")
    assert found == [(str(n), f"{n}번째 글이다.") for n in range(60)]
    dataset = open_dataset(tmp_path / "out")
    assert len(dataset.plan.shards) > 2
    assert dataset.rejects().read_all()["reason"].to_pylist() == ["a line must have two fields, got 1"]


def test_records_that_need_the_begin_of_their_file(tmp_path: Path, model: str, environment: Mapping[str, str]) -> None:
    """A format that is not cut is read as one stream, and committed in several segments."""
    letters = "".join(f"{n}번째 편지.\n잘 지내니?\n-----\n" for n in range(40))
    (tmp_path / "a.letters").write_text(f"김하늘\n{letters}", encoding="utf-8")
    found = annotate(tmp_path, model, environment, "--shard_bytes", "500", "--keep_metadata")
    source = str(tmp_path / "a.letters")
    assert found[:2] == [(f"{source}#0", "0번째 편지."), (f"{source}#0", "잘 지내니?")]
    assert len(found) == 80
    dataset = open_dataset(tmp_path / "out")
    assert len(list(dataset.receipts())) > 2
    assert {json.loads(text)["author"] for text in dataset.rows(["metadata"]).read_all()[0].to_pylist()} == {"김하늘"}


def test_a_format_that_is_not_registered_is_refused(tmp_path: Path, environment: Mapping[str, str]) -> None:
    (tmp_path / "a.tab").write_text("x")
    arguments = ["annotate", "--input", str(tmp_path), "--output", str(tmp_path / "out"), "--input_format", "doc"]
    done = run(arguments, environment)
    assert done.returncode == 2
    assert "text, jsonl, parquet, letters, tabbed" in " ".join(done.stderr.split()).replace("'", "")
