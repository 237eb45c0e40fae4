"""`klue-beam query`: SQL over a dataset's views, as a table, CSV, JSON Lines and Parquet; wrong queries in one line."""

import csv
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rich.console import Console

from klue_beam import open_dataset
from klue_beam.beam_pipelines.cli import main
from klue_beam.beam_pipelines.views.table import draw_rows


def test_a_table_is_drawn_with_as_many_rows_as_asked(
    undisturbed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # in a narrow terminal cells are broken into lines
    sql = "SELECT doc_id, text, begin_char, end_char FROM sentences ORDER BY doc_id, begin_char"
    assert main(["query", str(undisturbed), sql, "--limit", "2"]) == 0
    head, _, first, _, more = capsys.readouterr().out.splitlines()
    assert head.split() == ["doc_id", "text", "begin_char", "end_char"]
    assert "0번째 글이다." in first
    assert more == "(the first 2 rows; --limit gives more of them, --format csv all)"


def test_the_values_of_csv_json_and_parquet_are_those_of_the_dataset(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = open_dataset(undisturbed).rows().read_all()
    sql = "SELECT doc_id, text, entities, topic.score AS score, flags FROM sentences"
    assert main(["query", str(undisturbed), sql, "--format", "csv"]) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["text"] for row in read] == rows["text"].to_pylist()
    assert json.loads(read[0]["flags"]) == rows["flags"][0].as_py()
    assert main(["query", str(undisturbed), sql, "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["doc_id"] for line in lines] == rows["doc_id"].to_pylist()
    assert [[one["text"] for one in line["entities"]] for line in lines] == [
        [one["text"] for one in entities] for entities in rows["entities"].to_pylist()
    ]
    path = tmp_path / "new" / "rows.parquet"
    assert main(["query", str(undisturbed), sql, "--format", "parquet", "--output", str(path)]) == 0
    assert pq.read_table(path)["entities"].to_pylist() == rows["entities"].to_pylist()


def test_a_file_gets_its_name_when_it_is_whole(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "n.csv"
    call = ["query", str(undisturbed), "SELECT 1 AS n", "--format", "csv", "--output", str(path)]
    assert main(call) == 0
    assert path.read_text(encoding="utf-8") == "n\n1\n"
    assert main(call) == 2
    assert "`output` must not be there yet, got " in capsys.readouterr().err
    failing = [*call[:2], "SELECT error('no') FROM sentences", *call[3:5], "--output", str(tmp_path / "other.csv")]
    assert main(failing) == 2
    assert [one.name for one in tmp_path.iterdir()] == ["n.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["selct 1"], "got: Parser Error: syntax error at or near \"selct\", near 'selct 1'. There are arcs (source, "),
        (["SELECT end FROM entities"], "near 'end FROM entities'. There are arcs (source, record_index, "),
        (["SELECT mood FROM relations"], 'Referenced column "mood" not found'),
        (["SELECT * FROM words"], "sentences (doc_id, source, record_index, sentence_index, begin_char, end_char, "),
        (["COPY sentences TO '/tmp/x.csv'"], 'The query must be one statement that reads, got "COPY sentences'),
        (["SELECT 1; SELECT 2"], "The query must be one statement that reads, got 'SELECT 1; SELECT 2'."),
        ([""], "The query must be one statement that reads, got ''. Begin it with SELECT"),
        (["SELECT 1", "--format", "parquet"], "`--output` must be given for Parquet, got none. Name a file."),
        (["SELECT 1", "--output", "x"], "--format must be csv, json or parquet for a file, got table."),
        (["SELECT 1", "--limit", "0"], "`--limit` must be at least 1, got 0. Leave it out for 100."),
        (["SELECT 1", "--format", "xml"], "--format must be one of table, csv, json, parquet, got 'xml'."),
    ],
)
def test_a_wrong_query_is_told_in_a_line(
    arguments: list[str], message: str, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", str(undisturbed), *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("klue-beam query: ")
    assert message in said.replace("`--format`", "--format")
    assert said.count("\n") == 1


def test_a_file_that_is_gone_is_told_in_a_line(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(undisturbed, tmp_path / "copy")
    next((copy / "data").iterdir()).unlink()
    assert main(["query", str(copy), "SELECT count(*) FROM sentences"]) == 2
    said = capsys.readouterr().err
    assert "The files of a dataset must be as they were written, got: IO Error: No files found that match" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_of_korean_fits_a_terminal(width: int) -> None:
    console = Console(width=width, color_system=None)
    text = "서울시는 3월 5일 한강 공원에서 열린 행사에 시민 2만 명이 모였다고 밝혔다. 😀 그리고 다시 말했다."
    with console.capture() as capture:
        draw_rows(console, ["글", "n"], [[text, 1], [text[:9], None]], 10)
    lines = capture.get().splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert len({cell_len(line.rstrip()) for line in lines if line.endswith((" 1", "∅"))}) == 1
    assert lines[-1] == "(2 rows)"


def test_control_characters_do_not_reach_the_terminal() -> None:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        draw_rows(console, ["a\x1b[2J"], [["b\x1b]0;title\x07\x9b2J\u202e"]], 10)
    assert not set(capture.get()) & set("\x1b\x07\x9b\u202e")
    assert "b␛]0;title␇\ufffd2J\ufffd" in capture.get()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "klue_beam", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, timeout=300, check=False)


def test_data_are_utf_8_in_a_locale_without_korean_and_a_table_is_still_drawn(undisturbed: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    call = ("query", str(undisturbed), "SELECT text FROM sentences LIMIT 1")
    data = run(*call, "--format", "csv", **ascii_only)
    assert (data.returncode, data.stderr) == (0, b"")
    assert data.stdout.decode("utf-8").startswith("text\n")
    assert "글이다" in data.stdout.decode("utf-8")
    drawn = run(*call, **ascii_only)
    assert (drawn.returncode, drawn.stderr) == (0, b"")
    assert rb"\uae00\uc774\ub2e4" in drawn.stdout


def test_who_reads_may_stop_before_the_end(undisturbed: Path) -> None:
    command = f"{shlex.join([sys.executable, '-m', 'klue_beam', 'query', str(undisturbed)])} " \
        "'SELECT range FROM range(1000000)' --format csv | head -n 2"  # fmt: skip
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"range\n0\n", b"")
