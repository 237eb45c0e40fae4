"""A call is checked before anything runs: a wrong one says what to do and ends with 2."""

import importlib.metadata
from pathlib import Path

import pytest
import torch

from klue_beam.beam_pipelines.cli import COMMANDS, main
from klue_beam.beam_pipelines.commands import annotate as annotate_command
from tests.beam_pipelines.conftest import Corpus, run_command


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a call says that is refused."""
    assert annotate_command.main(arguments) == 2
    return " ".join(capsys.readouterr().err.split())


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_no_command_and_an_unknown_one_are_wrong_calls(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["anotate"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "klue-beam: The command must be one of annotate, verify, report, show, query, export, evaluate, train, "
        "average, calibrate, got 'anotate'. Did you mean annotate?"
    )


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"klue-beam {importlib.metadata.version('klue-beam')}"


def test_the_help_of_annotate_teaches_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert annotate_command.main(["--help"]) == 0
    out = capsys.readouterr().out
    for option in (
        "--input",
        "--tasks",
        "--model",
        "--re_model",
        "--splitter",
        "--shard_bytes",
        "--precision",
        "--device",
        "--scheduler",
        "--runner",
    ):
        assert option in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--foo", "1"], "Every option must be one of klue-beam's or of Beam's, got '--foo 1'."),
        (["--worker", "2"], "Did you mean --workers?"),
        (["--num_worker=2"], "Did you mean --num_workers?"),
        (["--dry_run", "more.txt"], "got 'more.txt'"),
        (["--runner", "NoRunner"], "`--runner` must name a Beam runner that is installed, got 'NoRunner'"),
        (["--runner", "no.such.Runner"], "`--runner` must name a Beam runner that is installed, got 'no.such.Runner'"),
        (["--runner", "FnApiRunner", "--workers", "2"], "`--workers` is of the local driver and must be left out"),
        (["--runner", "FnApiRunner", "--scheduler", "tcp://h:1"], "`--scheduler` is of the local driver"),
        (["--scheduler", "tcp://h:1", "--workers", "2"], "`--workers` must be left out with `--scheduler`"),
        (["--scheduler", "h"], "`--scheduler` must be an address like tcp://HOST:8786, got 'h'."),
        (["--workers", "0"], "`--workers` must be at least 1, got 0."),
        (["--threads", "0"], "`--threads` must be at least 1, got 0."),
        (["--max_rejects", "-1"], "`--max_rejects` must be at least 0, got -1."),
        pytest.param(
            ["--device", "cuda"],
            "sees, got 'cuda'. Leave it out to run on the CPU, or install the GPU's driver",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (["--device", "cuda", "--precision", "int8"], "`device` must be cpu with the precision int8, got 'cuda'."),
        (["--token_budget", "5"], "`token_budget` must be at least 512, got 5."),
        (["--tasks", "re"], "`--tasks` with re must have ner too"),
        (["--model", "no/such/folder"], "got 'no/such/folder'"),
        (["--output", "gs://bucket/out"], "`--output` must be a folder, local or mounted, got 'gs://bucket/out'."),
        (["--input", "absent.jsonl"], "must match at least one file, got 'absent.jsonl'"),
    ],
)
def test_a_wrong_call_is_explained_and_starts_nothing(
    arguments: list[str],
    message: str,
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = refused([*corpus.arguments(tmp_path / "out"), *arguments], capsys)
    assert message in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["input", "output"])
def test_input_and_output_must_be_given(name: str, corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"input": ["--output", "out"], "output": ["--input", str(corpus.plain)]}[name]
    assert f"`--{name}` must be given" in refused(other, capsys)


def test_a_value_of_a_wrong_type_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--shard_bytes", "8M"], ["--workers", "two"], ["--splitter", "regex"]):
        assert f"`{option[0]}` must be " in refused(option, capsys)


@pytest.mark.parametrize(
    "code",
    [
        "from klue_beam.beam_pipelines.cli import main; main(['--help'])",
        "from klue_beam.beam_pipelines.commands.verify import main; main(sys.argv[1:2])",
        "from klue_beam.beam_pipelines.commands.annotate import main; main(sys.argv[2:])",
    ],
)
def test_what_runs_no_model_loads_no_torch(code: str, corpus: Corpus, undisturbed: Path) -> None:
    """The help, a verification and a rerun of a finished job."""
    ended = "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    arguments = [str(undisturbed), *corpus.arguments(undisturbed)]
    done = run_command(arguments, "-c", f"import sys; {code}; {ended}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_options_of_beam_are_taken(corpus: Corpus, tmp_path: Path) -> None:
    flags = ["--job_name", "j", "--runner=FnApiRunner", "--experiments=a", "--experiments=b", "--streaming"]
    call = annotate_command.read_call([*corpus.arguments(tmp_path / "out"), *flags])
    assert call.runner == "FnApiRunner"
    assert call.beam_flags == tuple(flags)


def test_a_runner_brings_its_own_options(corpus: Corpus, tmp_path: Path) -> None:
    runner = "apache_beam.runners.dask.dask_runner.DaskRunner"
    flags = ["--runner", runner, "--dask_npartitions", "3"]
    assert annotate_command.read_call([*corpus.arguments(tmp_path / "out"), *flags]).runner == runner


def test_a_dry_run_prints_sources_shards_and_models_and_writes_nothing(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert annotate_command.main([*corpus.arguments(tmp_path / "out"), "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert str(corpus.plain) in out
    assert str(corpus.stream) in out
    assert str(corpus.model) in out
    shards = -(-corpus.plain.stat().st_size // 1500) + 1
    assert f"{shards} of {shards} shards are to do. Nothing was written." in out
    assert list(tmp_path.iterdir()) == []
