"""The agreement benchmark, as a user runs it, on a few sentences and a tiny model."""

import json
from pathlib import Path

import pytest

from benchmarks.agreement import main
from tests.tiny_models import SENTENCES, tiny_checkpoint


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("agreement")
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in SENTENCES]
    (folder / "text.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = tiny_checkpoint(folder / "model")
    return ["--input", str(folder / "text.jsonl"), "--model", str(model)]


KINDS = ("topic", "entities", "relations", "heads", "deprels", "together")


def read_table(out: str) -> dict[str, list[str]]:
    rows = [line.split() for line in out.splitlines()]
    return {row[0]: row[1:] for row in rows if row and row[0] in KINDS}


def test_fp32_agrees_with_itself_in_every_task(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--precision", "fp32"]) == 0
    out = capsys.readouterr().out
    table = read_table(out)
    assert {row[-1] for row in table.values()} == {"100.00"}
    assert table["topic"][:3] == ["6", "6", "6"]
    assert table["heads"][0] == str(sum(len(text.split()) for text in SENTENCES))
    assert "6 sentences of" in out
    assert "fp32 / fp32" in out


def test_a_share_below_the_bound_is_a_failure(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code says whether each kind's share reaches it; all labels together are the sum of the kinds."""
    for bound in (0.0, 100.1):
        code = main([*arguments, "--precision", "int8", "--sentences", "4", "--at_least", str(bound)])
        table = read_table(capsys.readouterr().out)
        assert len(table) == len(KINDS)
        assert table["topic"][0] == "4"
        for column in range(3):
            assert int(table["together"][column]) == sum(int(table[kind][column]) for kind in KINDS[:-1])
        assert code == (bound > 100)


def test_inputs_are_needed(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="The input must hold a sentence"):
        main(["--input", str(tmp_path / "empty.txt"), *arguments[2:], "--precision", "int8"])
    with pytest.raises(ValueError, match="`--sentences` must be at least 1, got 0"):
        main([*arguments, "--precision", "int8", "--sentences", "0"])
