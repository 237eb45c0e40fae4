"""`klue-beam train`: small official files in, a model folder that annotates out."""

import json
from pathlib import Path

import pytest
import torch

from beam_pipelines.train import main
from schemas.labels import TASKS
from tests.klue_rows import write_all, write_dp
from tests.tiny_models import SENTENCES, tiny_checkpoint
from tests.transforms.test_annotate import make_rows
from transforms.annotate import annotate
from transforms.config import ModelConfig
from transforms.models.checkpoint import load_model
from transforms.models.loading import load_engines
from transforms.models.resolving import resolve_models
from transforms.models.spec import ModelSpec
from transforms.models.training.trainer import LOG_FILE, STATE_FILE

FAST = ["--pair_layers", "1", "--threads", "1", "--batch_tokens", "600", "--frozen_layers", "-1"]
FAST += ["--encoder_rate", "3e-3", "--head_rate", "1e-2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def encoder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder of that model alone, as a Hugging Face folder: a run on it begins with new heads."""
    model, tokenizer = load_model(base)
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    model.encoder.save_pretrained(folder)
    tokenizer.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """200 rows a task."""
    return write_all(tmp_path_factory.mktemp("data"))


def command(base: Path, data: dict[str, Path], output: Path, *more: str, tasks: tuple[str, ...] = TASKS) -> list[str]:
    files = [f"{task}={data[task]}" for task in tasks]
    arguments = ["--task", ",".join(tasks), "--data", *files, "--base", str(base), "--output", str(output)]
    return [*arguments, *FAST, *more]


def losses(folder: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for line in (folder / LOG_FILE).read_text().splitlines():
        step = json.loads(line)
        found.setdefault(step["objective"], []).append(step["loss"])
    return found


def test_training_lowers_every_loss_and_the_model_annotates(
    base: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From 200 rows a task, each task's loss falls, and the folder parses a sentence of the same kind well."""
    assert main(command(base, data, tmp_path / "model", "--epochs", "tc=4", "ner=4", "re=3", "dp=8")) == 0
    for name, values in losses(tmp_path / "model").items():
        third = max(1, len(values) // 3)
        assert sum(values[-third:]) < 0.97 * sum(values[:third]), (name, values)
    err = capsys.readouterr().err
    assert "left out as too long: nothing" in err
    assert "Trained. The model is in" in err.replace("\n", " ")
    assert not (tmp_path / "model" / STATE_FILE).exists()
    models = dict.fromkeys(TASKS, str(tmp_path / "model"))
    engines = load_engines(resolve_models(ModelConfig(models=models)))
    rows, rejects = annotate(make_rows(["부산 야구단 연장 끝에 이겨 7", "김하늘은 서울에서 책8을 읽었다."]), engines)
    assert rejects.num_rows == 0
    _, sentence = rows.to_pylist()
    heads = [arc["head"] for arc in sentence["dependencies"]]
    assert sum(ours == gold for ours, gold in zip(heads, (4, 4, 4, 0), strict=True)) >= 3


def test_a_run_goes_on_after_a_stop(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """`--stop_after` leaves a checkpoint; the same command goes on from it and writes the undisturbed run's weights."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(command(base, data, whole, "--name", "same", tasks=("tc",))) == 0
    assert main(command(base, data, parts, "--name", "same", "--stop_after", "2", tasks=("tc",))) == 0
    assert torch.load(parts / STATE_FILE, weights_only=True)["step"] == 2
    assert main(command(base, data, parts, "--name", "same", tasks=("tc",))) == 0
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_one_task_needs_no_name_for_its_file(encoder: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """A bare file is the task's own; a model of NER alone has no head for mentions that only KLUE-RE teaches."""
    arguments = ["--task", "ner", "--data", str(data["ner"]), "--base", str(encoder)]
    assert main([*arguments, "--output", str(tmp_path / "model"), *FAST]) == 0
    spec = ModelSpec.load(tmp_path / "model")
    assert spec.tasks == ("ner",)
    assert spec.mention_types == ()
    engines = load_engines(resolve_models(ModelConfig(tasks=("ner",), models={"ner": str(tmp_path / "model")})))
    rows, _ = annotate(make_rows(["김하늘 씨는 서울에서 3명을 만났다."]), engines)
    assert not {e["label"] for e in rows.column("entities").to_pylist()[0]} & {"POH", "NOH"}


def test_a_model_goes_on_with_all_its_heads(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """With every layer frozen, one task's head learns and all other weights stay as they were."""
    output = tmp_path / "model"
    assert main(command(base, data, output, "--frozen_layers", "3", "--epochs", "dp=1", tasks=("dp",))) == 0
    assert ModelSpec.load(output).tasks == TASKS
    before, after = load_model(base)[0].state_dict(), load_model(output)[0].state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"dependency"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--task", "tc,tv"], "`--task` must be out of tc, ner, re, dp, got 'tv'"),
        (["--task", "ner"], "Each task must have its data, got none for ner"),
        (["--data", "tc=/no/such.json"], "No such file or directory"),
        (
            ["--data", "tx=file"],
            "must name tc, ner, re, dp, tc_said, tc_bodies, ner_varied, ner_mentions, re_pairs, ner_raw, "
            "ner_forms, dp_aux, text, got 'tx'",
        ),
        (["--epochs", "tc=viele"], "`--epochs` must be NAME=NUMBER"),
        (["--epochs", "dp=2"], "`--epochs` must be of data that is given, got dp"),
        (["--epochs", "2"], "--epochs must be NAME=VALUE, got '2'"),
        (["--pair_layers", "9", "--task", "re"], "Each task must have its data, got none for re"),
        (["--base", "/no/such"], "`base` must be a model folder, or a hub name"),
        (["--batch_tokens", "0"], "`batch_tokens` must be at least 1, got 0"),
        (["--threads", "0"], "`--threads` must be at least 1, got 0"),
        (
            ["--base", "scratch", "--frozen_layers", "0"],
            "must be -1 with `--base scratch`, whose weights are random",
        ),
        (["--output", "tiny"], "`--output` must not be the name of an embedded model, which `--model tiny` would load"),
        (["--device", "cuda"], "`device` must be one that torch"),
    ],
)
def test_a_wrong_call_is_refused(
    base: Path,
    data: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    message: str,
) -> None:
    """The exit code is 2, and the message has the rule and the value got."""
    assert main(command(base, data, tmp_path / "model", *change, tasks=("tc",))) == 2
    assert message in capsys.readouterr().err.replace("\n", " ").replace("  ", " ")
    assert not (tmp_path / "model" / LOG_FILE).exists()


def test_data_that_serves_no_task_is_refused(
    base: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that would be ignored are named, and so is half of a pair."""
    call = command(base, data, tmp_path / "model", tasks=("tc",))
    at = call.index("--data") + 1
    assert main([*call[:at], f"dp={data['dp']}", *call[at:]]) == 2
    assert "`--data` must serve a task of `--task`, got dp" in capsys.readouterr().err.replace("\n", " ").replace(
        "  ", " "
    )
    call = command(base, data, tmp_path / "model", tasks=("ner",))
    assert main([*call[:at], "ner_raw=x", *call[at:]]) == 2
    assert "`ner_raw` or `ner_mentions` must be given together with `ner_forms`" in capsys.readouterr().err.replace(
        "\n", " "
    ).replace("  ", " ")


def test_a_tree_with_another_label_is_refused(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_dp(tmp_path / "dp.tsv", rows=10)
    path.write_text(path.read_text(encoding="utf-8").replace("NP_AJT", "nsubj"), encoding="utf-8")
    assert main(command(base, {"dp": path}, tmp_path / "model", tasks=("dp",))) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "A tree's deprels must be out of NP," in said
    assert "got 'nsubj'. Correct the file, or give it as `dp_aux`" in said


def test_fewer_pair_layers_of_a_model_are_kept(encoder: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """`--pair_layers` holds for a base that has them, too; left out, they stay."""
    base = tmp_path / "base"
    assert main(command(encoder, data, base, "--pair_layers", "2", "--epochs", "re=0.01", tasks=("re",))) == 0
    for more, expected in (([], 2), (["--pair_layers", "1"], 1)):
        call = command(base, data, tmp_path / f"model-{expected}", "--epochs", "re=0.01", tasks=("re",))
        at = call.index("--pair_layers")
        assert main([*call[:at], *call[at + 2 :], *more]) == 0
        assert ModelSpec.load(tmp_path / f"model-{expected}").pair_layers == expected


def test_a_finished_model_is_not_overwritten(
    base: Path, data: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Training into a folder that holds a model is refused."""
    assert main(command(base, data, base, tasks=("tc",))) == 2
    assert "`--output` must be a folder without a model" in capsys.readouterr().err.replace("\n", " ").replace(
        "  ", " "
    )


def test_more_pair_layers_than_layers_are_refused(
    encoder: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The layers that run again for pairs are the encoder's own top ones."""
    for layers in ("-1", "4"):
        assert main(command(encoder, data, tmp_path / "m", "--pair_layers", layers, tasks=("re",))) == 2
        message = f"`pair_layers` must be from 0 to the encoder's 3 layers, got {layers}"
        assert message in capsys.readouterr().err.replace("\n", " ").replace("  ", " ")


@pytest.mark.parametrize("layers", ["0", "3"])
def test_pairs_may_be_read_off_the_sentence_or_get_a_pass_of_their_own(
    encoder: Path, data: dict[str, Path], tmp_path: Path, layers: str
) -> None:
    """No layer, or all of them, run again for a pair: it learns, and finds relations when it annotates."""
    folder = tmp_path / "model"
    tasks = ("ner", "re")
    call = command(encoder, data, folder, "--pair_layers", layers, "--epochs", "re=3", "ner=1", tasks=tasks)
    assert main(call) == 0
    assert ModelSpec.load(folder).pair_layers == int(layers)
    relations = losses(folder)["re"]
    assert sum(relations[-4:]) < sum(relations[:4])
    config = resolve_models(ModelConfig(tasks=tasks, models=dict.fromkeys(tasks, str(folder)), token_budget=512))
    rows = make_rows(SENTENCES)
    annotated, _ = annotate(rows, load_engines(config))
    assert annotated.column("relations").null_count == 0
