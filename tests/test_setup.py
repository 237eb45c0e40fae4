"""The package, its constraints and run.sh."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOMS = ("schemas", "transforms", "beam_pipelines")


def call_run_sh(checkout: Path, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("bash") or "bash", str(checkout / "run.sh"), *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def bare_checkout(checkout: Path, tmp_path: Path) -> Path:
    """A checkout that was never set up, in a folder with a blank in its name."""
    copy = tmp_path / "a checkout"
    copy.mkdir()
    for name in ("run.sh", "setup.py", "constraints.txt"):
        shutil.copy(checkout / name, copy)
    return copy


def constraints(checkout: Path) -> dict[str, str]:
    lines = (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pinned}


def test_every_requirement_has_one_exact_version_that_fits(checkout: Path) -> None:
    """Whatever setup.py asks for, extras included, the constraints name one version of, within its bounds."""
    pinned = constraints(checkout)
    requirements = [Requirement(line) for line in importlib.metadata.requires("klue-beam") or []]
    assert len(requirements) > 20
    for requirement in requirements:
        version = pinned.get(canonicalize_name(requirement.name), "")
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: {version or 'absent'}"


def test_the_engine_and_the_tensor_library_are_the_measured_ones(checkout: Path) -> None:
    pinned = constraints(checkout)
    assert (pinned["apache-beam"], pinned["torch"]) == ("2.77.0", "2.13.0")


def test_the_source_distribution_carries_all_code_and_no_tests(checkout: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        carried = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    code = {f"klue_beam/{path.relative_to(checkout)}" for room in ROOMS for path in (checkout / room).rglob("*.py")}
    assert not {*code, "klue_beam/__init__.py", "klue_beam/py.typed"} - carried
    assert not [name for name in carried if name.startswith(("tests/", "examples/", "benchmarks/"))]


def test_the_source_distribution_carries_the_weights(checkout: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        carried = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    embedded = checkout / "transforms" / "models" / "embedded"
    weights = [*embedded.rglob("*"), *(checkout / "transforms" / "split" / "splitters").glob("*.npz")]
    files = {
        f"klue_beam/{path.relative_to(checkout)}"
        for path in weights
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert any(name.endswith(".safetensors") for name in files)
    assert not files - carried


def test_each_folder_of_code_is_a_package(checkout: Path) -> None:
    """setup.py finds packages by their __init__.py: a folder without one would be left out of the distribution."""
    folders = {path.parent for room in ROOMS for path in (checkout / room).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


FAKE_PYTHON = """#!/bin/sh
case "$1" in
  -u) exec {python} "$@" ;;
  -m) echo "$@" >>"{log}"
      echo "Collecting torch==2.13.0"
      echo "  Downloading torch-2.13.0-cp311-none-any.whl.metadata (31 kB)"
      echo "Downloading torch-2.13.0-cp311-none-any.whl (190.5 MB)"
      echo "Using cached idna-3.20-py3-none-any.whl (70 kB)"
      echo "Using cached pyarrow-25.0.1-cp311-none-any.whl (42 MB)"
      echo "Installing collected packages: torch, idna, pyarrow" ;;
esac
"""
"""An environment's Python, in which everything can be imported and pip installs nothing."""


@pytest.fixture
def fake_environment(bare_checkout: Path, tmp_path: Path) -> Path:
    """The file that pip's arguments are written to, in the checkout's environment."""
    log = tmp_path / "pip.log"
    python = bare_checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON.format(python=sys.executable, log=log), encoding="utf-8")
    python.chmod(0o755)
    return log


def test_the_setup_says_what_it_installs_and_how_much(
    bare_checkout: Path, fake_environment: Path, tmp_path: Path
) -> None:
    done = call_run_sh(bare_checkout, "setup", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[1:4] == [
        "    1 packages,    190 MB: torch-2.13.0",
        "    3 packages,    233 MB: pyarrow-25.0.1",
        "  unpacking 3 packages",
    ]
    assert re.fullmatch(r"Done in \d+ seconds: \d+ MB in .*/a checkout/\.venv\.", lines[4])


def test_the_setup_is_done_once_and_again_when_more_is_asked_for(
    bare_checkout: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """What was asked for once stays: an environment of the tests runs the sample, too."""
    for extras in ([], [], ["kiwi"], ["kiwi"], []):
        assert call_run_sh(bare_checkout, "setup", *extras, cwd=tmp_path).returncode == 0
    (bare_checkout / "constraints.txt").write_text("torch==2.13.0\n", encoding="utf-8")
    assert call_run_sh(bare_checkout, "setup", cwd=tmp_path).returncode == 0
    asked = [line.rpartition("[")[2] for line in fake_environment.read_text().splitlines()]
    assert asked == ["query]", "query,kiwi]", "query]"]


def test_help_needs_no_environment_and_names_the_commands(bare_checkout: Path, tmp_path: Path) -> None:
    done = call_run_sh(bare_checkout, "help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {command} " in done.stdout for command in ("(none)", "setup", "test", "check", "help"))
    assert not (bare_checkout / ".venv").exists()


def test_a_python_that_does_not_fit_is_refused(bare_checkout: Path, tmp_path: Path) -> None:
    done = call_run_sh(bare_checkout, "setup", cwd=tmp_path, KLUE_BEAM_PYTHON="/bin/false")
    assert done.returncode != 0
    assert re.search(r"KLUE_BEAM_PYTHON must be a Python of 3\.11 or later with venv, got /bin/false\.", done.stderr)
    assert not (bare_checkout / ".venv").exists()


def test_a_machine_without_python_is_told_what_to_install(bare_checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dirname", "cksum", "head", "cat", "rm"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = call_run_sh(bare_checkout, "setup", cwd=tmp_path, PATH=str(tools))
    assert done.returncode != 0
    assert "Python 3.11 or later with venv is needed and none was found on PATH. Install it" in done.stderr


def test_a_call_passes_on_to_klue_beam_from_any_folder(checkout: Path, tmp_path: Path) -> None:
    """In a checkout that is set up, run.sh hands a command and its arguments to klue-beam within seconds."""
    done = call_run_sh(checkout, "verify", "nothing here", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing here" in done.stderr
