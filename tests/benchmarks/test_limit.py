"""The benchmark of an encoder against bare products, as a user runs it, on a tiny model."""

import json
from pathlib import Path

import pytest

from benchmarks.limit import linear_flops_per_token, main
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.nets.linear import can_pack
from tests.tiny_models import SENTENCES, tiny_checkpoint


def test_each_precision_has_its_limit_and_what_is_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each form that the processor has; what is reached is a share of the limit."""
    text = "\n".join(json.dumps({"text": sentence}, ensure_ascii=False) for sentence in SENTENCES)
    (tmp_path / "text.jsonl").write_text(text, encoding="utf-8")
    model = tiny_checkpoint(tmp_path / "model")
    assert main(["--input", str(tmp_path / "text.jsonl"), "--model", str(model)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: row[1:] for row in rows if row and row[0] in ("fp32", "bf16", "int8")}
    assert set(table) == {form for form in ("fp32", "bf16") if can_pack(form)} | {"int8"}
    for rate, limit, reached, share in table.values():
        assert int(rate.replace(",", "")) >= 0
        assert 0 < int(reached.replace(",", "")) < int(limit.replace(",", ""))
        assert 0 <= int(share) < 100


def test_the_work_of_a_token_is_counted(tmp_path: Path) -> None:
    """Three layers of four square matrices and two that are twice as wide; a multiplication and an addition each."""
    model, _ = load_model(tiny_checkpoint(tmp_path / "model"))
    assert linear_flops_per_token(model.encoder) == 2 * 3 * (4 * 32 * 32 + 2 * 32 * 64)


def test_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--input", str(tmp_path), "--model", str(tmp_path / "none")]) == 2
    assert "`--model` must be a multi-task model, got" in capsys.readouterr().err
