"""What a user gets: one package with public names, beside which a project has its own `schemas` and `transforms`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import klue_beam
from tests.tiny_models import SENTENCES, tiny_checkpoint

HEAVY = ("torch", "transformers", "apache_beam", "pyarrow", "numpy", "dask", "distributed")

OWN_PACKAGES = {
    "schemas/__init__.py": 'NAME = "the project\'s own"\n',
    "transforms/__init__.py": "",
    "transforms/counting.py": "def count_rows(chunk):\n    return chunk.rows.num_rows\n",
    "beam_pipelines/__init__.py": "",
    "pipeline.py": """
import sys

import apache_beam as beam

import schemas
from klue_beam import (
    AnnotateConfig,
    Annotate,
    ModelConfig,
    ReadConfig,
    ReadShards,
    SplitSentences,
    make_plan,
    resolve_models,
    save_plan,
)
from transforms.counting import count_rows

assert schemas.NAME == "the project's own"
source, model, installed = sys.argv[1:]
models = resolve_models(ModelConfig(tasks=("tc",), models={"tc": model}))
config = AnnotateConfig(read=ReadConfig(input_format="text"), splitter="none", model=models)
plan = make_plan([source], config)
save_plan("out", plan)
with beam.Pipeline(runner="FnApiRunner") as pipeline:
    _ = (
        pipeline
        | beam.Create(plan.shards)
        | ReadShards("out", config.read)
        | SplitSentences(config.splitter)
        | Annotate(config.model)
        | beam.Map(count_rows)
        | beam.Map(lambda rows: print("rows", rows))
    )
elsewhere = [
    module.__file__
    for name, module in sys.modules.items()
    if name.split(".")[0] == "klue_beam" and not module.__file__.startswith(installed)
]
assert not elsewhere, elsewhere
""",
}
"""A project that has packages of the same names as the folders of klue-beam's checkout."""


@pytest.fixture(scope="module")
def installed(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel, made from the source distribution, and nothing else of klue-beam."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheels"), str(sdist)]
    subprocess.run([*pip, *build], check=True, capture_output=True, timeout=300)
    (wheel,) = (folder / "wheels").iterdir()
    target = folder / "target"
    install = ["install", "--no-deps", "--no-compile", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True, timeout=300)
    return target


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, content in OWN_PACKAGES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "news.txt").write_text("".join(f"{sentence}\n" for sentence in SENTENCES), encoding="utf-8")
    tiny_checkpoint(folder / "model")
    return folder


def run(command: list[str], project: Path, installed: Path) -> str:
    """Run a command in the project's folder, with what is installed before all else that could be klue-beam."""
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_brings_one_package(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")) == [
        "bin",
        "klue_beam",
    ]
    assert sorted(path.name for path in (installed / "klue_beam").iterdir()) == [
        "__init__.py",
        "__init__.pyi",
        "__main__.py",
        "beam_pipelines",
        "py.typed",
        "schemas",
        "transforms",
    ]


@pytest.mark.slow
def test_the_command_runs_in_a_project_with_packages_of_the_same_names(project: Path, installed: Path) -> None:
    """As a script, and by `python -m`, which puts the project's folder first."""
    options = ["--model", str(project / "model"), "--splitter", "none", "--workers", "1"]
    script = str(installed / "bin" / "klue-beam")
    run([script, "annotate", "--input", "news.txt", "--output", "annotated", *options], project, installed)
    said = run([sys.executable, "-m", "klue_beam", "verify", "annotated"], project, installed)
    assert "The dataset is whole." in said


@pytest.mark.slow
def test_a_pipeline_of_the_project_s_own_takes_our_transforms(project: Path, installed: Path) -> None:
    arguments = ["news.txt", str(project / "model"), str(installed)]
    said = run([sys.executable, "pipeline.py", *arguments], project, installed)
    assert sum(int(line.split()[1]) for line in said.splitlines()) == len(SENTENCES)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, klue_beam; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_is_what_its_name_says() -> None:
    for name in klue_beam.__all__:
        found = getattr(klue_beam, name)
        assert getattr(found, "__name__", name) == name
    assert dir(klue_beam) == klue_beam.__all__


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'klue_beam' has no attribute 'Anotate'; it has Annotate,"):
        klue_beam.Anotate  # noqa: B018


@pytest.mark.slow
def test_type_checkers_see_the_public_names(tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text("import klue_beam\n\nreveal_type(klue_beam.AnnotateConfig().splitter)\nklue_beam.Anotate\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports", str(code)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 'note: Revealed type is "str"' in done.stdout, done.stdout + done.stderr
    assert 'error: Module has no attribute "Anotate"' in done.stdout
    assert done.stdout.rstrip().endswith("Found 1 error in 1 file (checked 1 source file)")
