"""One room knows where files lie: outside of transforms.base.stores nothing asks the operating system for a file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOM = "transforms.base.stores"

FILE_MODULES = ("shutil", "glob", "fcntl", "tempfile", "smart_open", "lzma", "gzip", "bz2")
OS_CALLS = {
    *(
        "open",
        "link",
        "symlink",
        "rename",
        "replace",
        "remove",
        "unlink",
        "listdir",
        "scandir",
        "walk",
        "stat",
        "lstat",
    ),
    *("mkdir", "makedirs", "rmdir", "removedirs", "truncate", "access", "utime", "chmod", "fsync", "path"),
}
NO_FILE = re.compile(
    r"os\.path\.(splitext|basename|dirname|join|split)\b|shutil.get_terminal_size$|tempfile.gettempdir$"
)
"""These take a name apart or put one together, or ask for something else, and look at no file."""

PATH_METHODS = {
    *("read_bytes", "read_text", "write_bytes", "write_text", "iterdir", "rglob", "unlink", "mkdir", "rmdir", "touch"),
    *("is_file", "is_dir", "exists", "rename", "symlink_to", "hardlink_to", "samefile"),
}
PARQUET_CALLS = {
    "pq.read_table",
    "pq.read_metadata",
    "pq.read_schema",
    "pq.ParquetFile",
    "pq.ParquetWriter",
    "pq.write_table",
}
NO_PATH = re.compile(r"((self\.|self\._|job\.)?store|here|FORMATS\[.*\])$")
"""What stores and formats, which open files too, are called where they are used."""

ALLOWED = {
    "transforms.formats.parquet": "reads a file that a store has opened",
    "transforms.formats.unpacking": "the decompressors themselves",
    "transforms.plan.files": "the one place that opens the Parquet files of a dataset, as a store gives them",
    "transforms.plan.plan": "makes and reads the plan in memory",
    "transforms.write.publish": "makes a file at a path that a store gave for that",
    "transforms.report": "the parts of its page, and a page or a result made at the path that it is given",
    "transforms.export": "an exporter makes its file at the path that it is given",
    "transforms.split.splitters": "the corpora and weights of a splitter in the making",
    "transforms.tasks": "labelled files that a person names, and lists that are downloaded to train from",
    "transforms.models": "model folders",
    "transforms.training": "model folders",
    "beam_pipelines.graphs.gold": "the rows of an evaluation, in a working folder",
    "beam_pipelines.commands": "model folders, and files that a call names: whether they are there, and what is told",
}
"""Modules and rooms that may, with what for."""


def file_calls(source: str) -> Iterator[str]:
    """The calls in a module's code that ask for a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        is_os = called.startswith("os.") and re.split(r"\W", called)[1] in OS_CALLS and not NO_FILE.match(called)
        is_path = name in PATH_METHODS or (name in ("open", "stat") and bool(owner) and not NO_PATH.match(owner))
        if (
            called == "open"
            or is_os
            or is_path
            or (owner in FILE_MODULES and not NO_FILE.match(called))
            or called in PARQUET_CALLS
        ):
            yield called


def read_calls() -> dict[str, set[str]]:
    found = {}
    for top in ("schemas", "transforms", "beam_pipelines"):
        for path in (CHECKOUT / top).rglob("*.py"):
            module = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
            if calls := set(file_calls(path.read_text(encoding="utf-8"))):
                found[module] = calls
    return found


CALLS = read_calls()


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def test_no_other_room_asks_for_files() -> None:
    assert {
        module: calls
        for module, calls in CALLS.items()
        if not is_in(module, ROOM) and not any(is_in(module, allowed) for allowed in ALLOWED)
    } == {}


@pytest.mark.parametrize("allowed", ALLOWED)
def test_who_may_also_does(allowed: str) -> None:
    assert any(is_in(module, allowed) for module in CALLS), "take it off the list"


def test_the_room_itself_is_seen() -> None:
    assert {"os.link", "os.stat", "os.replace", "smart_open.open", "fcntl.flock"} <= CALLS[f"{ROOM}.local"]


@pytest.mark.parametrize(
    "code",
    ["open('a')", "Path('a').open()", "os.path.exists(a)", "folder.stat()", "pq.read_table(a)", "(a / b).unlink()"],
)
def test_a_call_is_seen_however_it_is_written(code: str) -> None:
    assert list(file_calls(code))


@pytest.mark.parametrize(
    "code", ["store.open(key)", "os.path.splitext(a)", "self._store.stat(key)", "os.environ.get('A')"]
)
def test_what_asks_a_store_or_no_disk_is_none(code: str) -> None:
    assert list(file_calls(code)) == []
