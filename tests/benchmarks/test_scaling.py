"""Scaling runs the command itself, and prints ratios."""

import re

import pytest

from benchmarks import scaling
from benchmarks.scaling import Measured


def test_workers(texts: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["workers", "--input", texts, "--size", "20kB", "--", "--model", model]) == 0
    assert re.search(r"ratio of the speed of 2 workers to that of 1: -?[\d.]+", capsys.readouterr().out)


def test_sizes(texts: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["sizes", "--input", texts, "--sizes", "10kB", "40kB", "--", "--model", model]) == 0
    out = capsys.readouterr().out
    assert re.search(r"ratio of the larger to the smaller: time for each MB -?[\d.]+, peak memory [\d.]+", out)


def test_seconds_for_each_mb() -> None:
    assert Measured(size_bytes=2_000_000, peak_bytes=1, seconds=5.0).seconds_per_mb == 2.5


def test_a_size_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scaling.main(["workers", "--input", "x", "--size", "much"])
    assert "a size must be a number of bytes" in capsys.readouterr().err
