"""The package, its constraints and run.sh."""

import importlib.metadata
import os
import re
import shutil
import subprocess
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
