"""`klue-beam average`: several model folders in, one with the mean of their weights out."""

from pathlib import Path

import pytest
import torch

from klue_beam.beam_pipelines.commands.average import main
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from tests.tiny_models import tiny_checkpoint


def test_the_mean_of_the_weights_comes_out(tmp_path: Path) -> None:
    """Each weight is the mean up to its rounding to int8, and nothing that was fitted is kept."""
    folders = [tiny_checkpoint(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 2))]
    output = tmp_path / "mean"
    assert main(["--models", *map(str, folders), "--output", str(output)]) == 0
    (first, _), (second, _), (mean, _) = (load_model(folder) for folder in (*folders, output))
    others = second.state_dict()
    for name, weight in first.state_dict().items():
        if weight.is_floating_point():
            wanted = (weight + others[name]) / 2
            step = wanted.abs().amax() / 127 + 1e-3
            assert torch.allclose(mean.state_dict()[name], wanted, atol=float(step)), name
    assert ModelSpec.load(output).name == "mean"
    assert not ModelSpec.load(output).calibration
    assert "- a\n- b\n" in (output / "README.md").read_text()


def test_models_that_have_no_mean_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, with the rule, the value and the remedy, and no folder."""
    whole, part = tiny_checkpoint(tmp_path / "whole"), tiny_checkpoint(tmp_path / "part", tasks=("tc",))
    output = tmp_path / "mean"
    for models, message in (
        ([whole], "There must be two models to average at least, got 1. Give more."),
        ([whole, part], "must have the same tasks, labels, sizes and pieces, got 'tiny-random' and 'tiny-random'"),
        ([whole, tmp_path / "none"], "`--models` must be folders that `klue-beam train` wrote, got"),
    ):
        assert main(["--models", *map(str, models), "--output", str(output)]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not output.exists()
    assert main(["--models", str(whole), str(whole), "--output", str(whole)]) == 2
    assert "`--output` must be a folder without a model, got" in " ".join(capsys.readouterr().err.split())
