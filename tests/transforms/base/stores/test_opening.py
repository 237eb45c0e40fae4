"""An address leads to its store, and a name to the files that it stands for."""

import os
from pathlib import Path

import pytest

from klue_beam.transforms.base.stores.finding import find_files, require_readable, stat_source
from klue_beam.transforms.base.stores.local import LocalStore
from klue_beam.transforms.base.stores.opening import locate, open_store


def test_a_path_and_a_file_address_open_the_same_folder(tmp_path: Path) -> None:
    open_store(tmp_path).put_if_absent("a", b"1")
    assert open_store(f"file://{tmp_path}").read("a") == b"1"
    store, key = locate(f"file://{tmp_path}/a")
    assert store.read(key) == b"1"


@pytest.mark.parametrize("url", ["s3://bucket/out", "gs://b/o", "http://host/a.jsonl"])
def test_an_address_of_a_store_that_is_not_there_is_refused(url: str) -> None:
    message = f"^An address must be a path, or begin with file://, got '{url}'. Copy or mount what lies there.$"
    for use in (open_store, locate):
        with pytest.raises(ValueError, match=message):
            use(url)


def test_a_name_without_folder_lies_in_the_working_directory(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        store, key = locate("a.txt")
        assert store.put_if_absent(key, b"1")
        assert (store.address(key), store.read(key)) == ("a.txt", b"1")
        assert [entry.key for entry in LocalStore("").list()] == ["a.txt"]
    finally:
        os.chdir(before)


def test_a_source_has_its_size_and_version_and_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"12345")
    source = stat_source(str(path))
    assert (source.path, source.size_bytes, source.version) == (str(path), 5, str(path.stat().st_mtime_ns))
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        stat_source(str(tmp_path / "none.txt"))


def test_files_folders_and_globs_are_opened_up(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "_a.txt", ".a.txt", "c/d.txt", "_c/d.txt", "[x].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c" / "ring").symlink_to(tmp_path)

    def found(named: str) -> list[tuple[str, bool]]:
        return [(os.path.relpath(file.path, tmp_path), file.in_folder) for file in find_files(str(tmp_path / named))]

    assert found("") == [("[x].txt", True), ("a.txt", True), ("b.txt", True), ("c/d.txt", True)]
    assert found("*.txt") == [("[x].txt", False), ("a.txt", False), ("b.txt", False)]
    assert found("_*.txt") == [("_a.txt", False)]
    assert found("[x].txt") == [("[x].txt", False)]
    assert found("c*") == [("c/d.txt", True)]
    assert found("none*") == []


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pipe").mkdir()
    with pytest.raises(ValueError, match=r"An input must be a file or a folder of files, got .*/pipe'\. Save it as"):
        require_readable(str(tmp_path / "pipe"))
    with pytest.raises(ValueError, match=r"An input must be a path that every worker can read, got 's3://a/b'"):
        list(find_files("s3://a/b"))
