"""A source is one file, whatever names lead to it and wherever the command is called."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.beam_pipelines.local.job import plan_job
from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.schemas.shard import PLAN_FILE
from klue_beam.transforms.plan.plan import extend_plan, load_plan, make_plan, save_plan
from klue_beam.transforms.plan.sources import find_sources

CONFIG = AnnotateConfig()
NOBODY = 65534
"""The number of a user without rights."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a corpus of three files."""
    corpus = tmp_path / "corpus"
    (corpus / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "deep/c.txt"):
        (corpus / name).write_text(f"{name}의 글이다.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(inputs: Sequence[str], input_format: str = "text") -> list[str]:
    return [source.path for source in find_sources(inputs, input_format)]


def test_a_link_to_a_file_beside_it_is_that_file(here: Path) -> None:
    (here / "corpus" / "aa.txt").symlink_to("a.txt")
    os.link(here / "corpus" / "b.txt", here / "corpus" / "bb.txt")
    assert paths(["corpus"]) == ["corpus/a.txt", "corpus/b.txt", "corpus/deep/c.txt"]


def test_a_ring_of_links_under_two_stars_gives_each_file_once(here: Path) -> None:
    (here / "corpus" / "deep" / "up").symlink_to("..", target_is_directory=True)
    found = paths(["corpus/**/*.txt"])
    assert sorted(os.path.realpath(path) for path in found) == sorted(
        str(here / "corpus" / name) for name in ("a.txt", "b.txt", "deep/c.txt")
    )


@pytest.mark.parametrize("named", ["corpus", "corpus/gone.txt"])
def test_a_link_to_nothing_is_named(here: Path, named: str) -> None:
    (here / "corpus" / "gone.txt").symlink_to("lost.txt")
    message = (
        r"^An input must be a file, got 'corpus/gone\.txt', a link to 'lost\.txt', which is not there\. Restore that, "
        r"or remove the link\.$"
    )
    with pytest.raises(ValueError, match=message):
        paths([named])


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody may read, and no rights of root, who may read every folder."""
    folder = Path(tempfile.mkdtemp(prefix="klue-beam-"))
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    user = os.geteuid()
    try:
        yield folder
    finally:
        os.seteuid(user)
        monkeypatch.undo()
        shutil.rmtree(folder)


def test_a_folder_that_cannot_be_read_is_named(somebody: Path) -> None:
    (somebody / "corpus" / "deep").mkdir(parents=True)
    (somebody / "corpus" / "a.txt").write_text("글이다.\n", encoding="utf-8")
    assert paths(["corpus"]) == ["corpus/a.txt"]
    (somebody / "corpus" / "deep").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    message = r"^A folder of inputs must be readable, with all folders in it, got 'corpus/deep' \(Permission denied\)"
    with pytest.raises(PermissionError, match=message):
        paths(["corpus"])


@pytest.mark.parametrize("named", ["corpus", "corpus/**/*.parquet", "corp*"])
def test_an_output_below_its_inputs_is_no_input_of_the_next_run(here: Path, named: str) -> None:
    pq.write_table(pa.table({"text": ["글이다."]}), here / "corpus" / "rows.parquet")
    output = here / "corpus" / "out"
    (output / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["글이다."]}), output / "data" / "part-000000-000000.parquet")
    config = AnnotateConfig(read=ReadConfig(input_format="parquet"))
    save_plan(str(output), make_plan(["corpus/rows.parquet"], config))
    assert paths([named], "parquet") == ["corpus/rows.parquet"]
    job = plan_job("corpus/out", [named], config)
    assert [source.path for source in job.plan.sources] == ["corpus/rows.parquet"]


def test_a_dataset_that_is_named_itself_is_an_input(here: Path) -> None:
    output = here / "out"
    (output / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["글이다."]}), output / "data" / "part-000000-000000.parquet")
    (output / PLAN_FILE).write_bytes(b"")
    for named in ("out", "out/data", "out/data/*.parquet"):
        assert paths([named], "parquet") == ["out/data/part-000000-000000.parquet"]


def test_a_file_of_the_output_is_refused_as_an_input(here: Path) -> None:
    message = (
        r"^An input must not lie in the dataset that is written, got 'corpus/a\.txt' in '\./corpus'\. Choose another "
        r"--output\.$"
    )
    with pytest.raises(ValueError, match=message):
        plan_job("./corpus", ["corpus/a.txt"], CONFIG)


def test_the_same_file_from_another_working_directory_is_known(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "corpus")
    save_plan(str(here / "out"), make_plan(["a.txt"], CONFIG))
    monkeypatch.chdir(here)
    plan = load_plan("out")
    assert [(source.path, source.address) for source in plan.sources] == [("a.txt", str(here / "corpus" / "a.txt"))]
    assert extend_plan(plan, ["corpus/a.txt"], CONFIG) == plan
    extended = extend_plan(plan, ["corpus"], CONFIG)
    assert [source.path for source in extended.sources] == ["a.txt", "corpus/b.txt", "corpus/deep/c.txt"]


def test_two_files_of_one_relative_name_are_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a.txt").write_text("다른 글이다.\n", encoding="utf-8")
    plan = make_plan(["a.txt"], CONFIG)
    monkeypatch.chdir(here / "corpus")
    message = (
        rf"^Two sources of a dataset must not have one name, got 'a\.txt' for '{here}/a\.txt' and for "
        rf"'{here}/corpus/a\.txt'\. Name the new one by its full path\.$"
    )
    with pytest.raises(ValueError, match=message):
        extend_plan(plan, ["a.txt"], CONFIG)
    extended = extend_plan(plan, [str(here / "corpus" / "a.txt")], CONFIG)
    assert [source.path for source in extended.sources] == ["a.txt", str(here / "corpus" / "a.txt")]


@pytest.mark.parametrize("is_moved_alone", [True, False])
def test_a_dataset_that_is_moved_finds_its_sources(
    here: Path, monkeypatch: pytest.MonkeyPatch, is_moved_alone: bool
) -> None:
    """With its inputs, and alone; by a relative name and by an absolute one."""
    monkeypatch.chdir(here / "corpus")
    save_plan("out", make_plan(["a.txt", str(here / "corpus" / "b.txt")], CONFIG))
    if is_moved_alone:
        shutil.move(here / "corpus" / "out", here / "elsewhere")
        dataset, folder = here / "elsewhere", here / "corpus"
    else:
        monkeypatch.chdir(here)
        shutil.move(here / "corpus", here / "new")
        dataset, folder = here / "new" / "out", here / "new"
    monkeypatch.chdir("/")
    plan = load_plan(str(dataset))
    assert [source.address for source in plan.sources] == [str(folder / "a.txt"), str(folder / "b.txt")]
    extended = extend_plan(plan, [str(folder)], CONFIG)
    assert [Path(source.address).name for source in extended.sources] == ["a.txt", "b.txt", "c.txt"]
