"""`klue-beam calibrate`: labelled rows in, a model folder whose spec holds what was fitted."""

import json
import resource
from pathlib import Path

import numpy as np
import pytest

from klue_beam.beam_pipelines.commands.calibrate import main
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.engine.engine import MultiTaskEngine
from tests.klue_rows import write_all, write_dp
from tests.tiny_models import SENTENCES, tiny_checkpoint


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
    assert len(spec.calibration["re"].bias) == len(spec.of["re"].relations)
    assert not spec.calibration["ner"].bias
    assert 0 <= spec.of["ner"].min_entity_score <= 0.9
    assert spec.of["dp"].head_final
    assert (model / "model.safetensors").read_bytes() == weights
    arcs = MultiTaskEngine(*load_model(model), ("dp",), token_budget=512).annotate(SENTENCES).found["dp"]
    offsets = arcs.eojeols.offsets
    number = arcs.eojeol - offsets[:-1].repeat(np.diff(offsets)) + 1
    assert ((arcs.head > number) | (arcs.head == 0)).all()
    assert (arcs.head == 0).sum() == len(SENTENCES)
    assert "entities: a score of" in capsys.readouterr().err


def test_trees_are_head_final_where_all_rows_are(model: Path, tmp_path: Path) -> None:
    """One left arc in the half that is fitted on, and trees may have any shape."""
    path = write_dp(tmp_path / "dp.tsv", rows=40)
    path.write_text(path.read_text(encoding="utf-8").replace("\t4\tNP_AJT", "\t1\tNP_AJT"), encoding="utf-8")
    assert main(["--model", str(model), "--threads", "1", "--dp_data", str(path)]) == 0
    assert not ModelSpec.load(model).of["dp"].head_final


def test_what_rows_cannot_tell_is_set_by_hand(model: Path, tmp_path: Path) -> None:
    """Mentions' bias, the score that they must reach and what pairs see; and what was fitted is fitted with it."""
    files = write_all(tmp_path, rows=20)
    call = ["--model", str(model), "--threads", "1", "--tc_data", str(files["tc"])]
    assert main([*call, "--mention_bias", "-1.5", "--min_mention_score", "0.65", "--pair_context", "8"]) == 0
    spec = ModelSpec.load(model)
    assert spec.calibration["mention"].bias == (-1.5, 0, 0, 0, 0)
    assert (spec.of["ner"].min_mention_score, spec.of["re"].pair_context) == (0.65, 8)
    assert load_model(model)[0].relation.context == 8
    assert main(call) == 0
    assert ModelSpec.load(model) == spec


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--min_mention_score", "1"], "`--min_mention_score` must be from 0 to below 1, got 1.0. Leave it out"),
        (["--pair_context", "-1"], "`--pair_context` must be 0 (the whole sentence) or more, got -1. Leave it out"),
        (["--tc_data", "/no/such"], "/no/such"),
        (["--mention_bias", "nan"], "`--mention_bias` must be finite, got nan. Leave it out, or give -1."),
    ],
)
def test_a_wrong_value_changes_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    before = ModelSpec.load(model)
    files = write_all(tmp_path, rows=20)
    call = ["--model", str(model), "--tc_data", str(files["tc"]), "--mention_bias", "-1"]
    assert main([*call, *more]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert ModelSpec.load(model) == before


def test_a_model_without_mentions_has_no_bias_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor one without the task: nothing is set that no head reads."""
    alone = tiny_checkpoint(tmp_path / "alone", tasks=("tc", "ner"))
    ModelSpec.load(alone).change("ner", mention_types=()).save(alone)
    call = ["--tc_data", str(write_all(tmp_path)["tc"]), "--mention_bias", "-1"]
    assert main(["--model", str(alone), *call]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "must be of a model with `mention_types`, got (). Leave them out." in said
    topics = tiny_checkpoint(tmp_path / "topics", tasks=("tc",))
    assert main(["--model", str(topics), *call]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "`--mention_bias` must be of a model with the task ner, got 'tc'. Leave it out." in said


@pytest.mark.parametrize("name", ["empty.tsv", "comments.tsv"])
def test_a_file_without_rows_changes_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = (model / "klue_beam.json").read_bytes()
    path = tmp_path / name
    path.write_text("" if name == "empty.tsv" else "## a comment\n\n", encoding="utf-8")
    call = ["--model", str(model), "--ner_data", str(path), "--tc_data", str(write_all(tmp_path)["tc"])]
    assert main([*call, "--mention_bias", "-1"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"`--ner_data` must have rows to fit on, got '{path}'. Check the file, or give more rows." in said
    assert main(["--model", str(model), "--dp_data", str(path)]) == 2
    assert "must have rows to fit on, and a fifth of them is held out for it, got" in capsys.readouterr().err
    assert (model / "klue_beam.json").read_bytes() == before


def test_a_full_disk_leaves_the_model_as_it_was(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be written whole is not written."""
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    call = ["--model", str(model), "--threads", "1", "--tc_data", str(write_all(tmp_path)["tc"])]
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limit[1]))
    try:
        assert main(call) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "File too large" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_rows_of_a_task_that_the_model_lacks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = tiny_checkpoint(tmp_path / "alone", tasks=("tc",))
    before = ModelSpec.load(alone)
    files = write_all(tmp_path, rows=20)
    call = ["--model", str(alone), "--ner_data", str(files["ner"]), "--pair_context", "8"]
    assert main(call) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "`calibrate` must have rows of the model's tasks, tc, got --ner_data. Leave it out." in said
    assert ModelSpec.load(alone) == before


def test_rows_longer_than_the_model_are_left_out(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are counted; what is fitted is what the others give."""
    short = write_all(tmp_path, rows=40)["tc"]
    rows = json.loads(short.read_text(encoding="utf-8"))
    longer = [{**row, "guid": f"long-{n}", "title": row["title"] * 40} for n, row in enumerate(rows)]
    path = tmp_path / "long.json"
    path.write_text(json.dumps(rows + longer, ensure_ascii=False), encoding="utf-8")
    fitted = []
    for data in (short, path):
        assert main(["--model", str(model), "--threads", "1", "--tc_data", str(data)]) == 0
        fitted.append(ModelSpec.load(model))
    assert "left out as too long: tc" in " ".join(capsys.readouterr().err.split())
    assert fitted[0] == fitted[1]


def test_a_call_without_rows_or_without_a_model_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, with the rule, the value and the remedy; the spec stays as it was."""
    before = ModelSpec.load(model)
    assert main(["--model", str(model)]) == 2
    assert "`calibrate` must have labelled rows, got none. Give --tc_data" in " ".join(capsys.readouterr().err.split())
    rows = write_all(tmp_path)["tc"]
    assert main(["--model", str(tmp_path / "none"), "--tc_data", str(rows)]) == 2
    assert "`--model` must be a folder that `klue-beam train` wrote, got" in " ".join(capsys.readouterr().err.split())
    assert ModelSpec.load(model) == before
