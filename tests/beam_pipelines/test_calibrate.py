"""`klue-beam calibrate`: labelled rows in, a model folder whose spec holds what was fitted."""

from pathlib import Path

import pytest

from beam_pipelines.calibrate import main
from tests.klue_rows import write_all
from tests.tiny_models import tiny_checkpoint
from transforms.models.spec import ModelSpec


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model")


def test_what_was_fitted_is_in_the_spec(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each task's outputs get a temperature, topics and relations a bias, entities their scores; weights stay."""
    weights = (model / "model.safetensors").read_bytes()
    files = write_all(tmp_path, rows=40)
    options = [part for task, path in files.items() for part in (f"--{task}_data", str(path))]
    assert main(["--model", str(model), "--threads", "1", *options]) == 0
    spec = ModelSpec.load(model)
    assert set(spec.calibration) == {"tc", "ner", "re", "arc", "deprel", "entity"}
    assert all(0.05 <= fitted.temperature <= 20 for fitted in spec.calibration.values())
    assert any(spec.calibration["tc"].bias)
    assert len(spec.calibration["re"].bias) == len(spec.relations)
    assert not spec.calibration["ner"].bias
    assert 0 <= spec.min_entity_score <= 0.9
    assert (model / "model.safetensors").read_bytes() == weights
    assert "entities: a score of" in capsys.readouterr().err


def test_a_call_without_rows_or_without_a_model_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, with the rule, the value and the remedy; the spec stays as it was."""
    before = ModelSpec.load(model)
    assert main(["--model", str(model)]) == 2
    assert "`calibrate` must have labelled rows, got none. Give --tc_data" in " ".join(capsys.readouterr().err.split())
    assert main(["--model", str(tmp_path / "none"), "--tc_data", "x.json"]) == 2
    assert "`--model` must be a folder that `klue-beam train` wrote, got" in " ".join(capsys.readouterr().err.split())
    assert ModelSpec.load(model) == before
