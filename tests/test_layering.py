"""Each room imports only from itself and the rooms before it in ROOMS; no modules import each other in a ring."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = "klue_beam"
ROOMS = (
    "schemas",
    "transforms.base",
    "transforms.formats",
    "transforms.plan",
    "transforms.read",
    "transforms.clean",
    "transforms.split",
    "transforms.models.text",
    "transforms.models.nets",
    "transforms.tasks",
    "transforms.models.checkpoints",
    "transforms.models.engine",
    "transforms.annotate",
    "transforms.write",
    "transforms.verify",
    "transforms.export",
    "transforms.report",
    "transforms.evaluation",
    "transforms.training",
    "beam_pipelines.graphs",
    "beam_pipelines.local",
    "beam_pipelines.views",
    "beam_pipelines.commands",
    "beam_pipelines.cli",
)
"""From the lowest to the highest. This order is also drawn in ARCHITECTURE.md."""


def imported_modules(source: str) -> Iterator[str]:
    """The modules that a module's code imports, anywhere in it; of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be checked"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_modules() -> Mapping[str, set[str]]:
    """The modules of the package by name without its prefix, each with those of the package that it imports."""
    paths = [path for top in ("schemas", "transforms", "beam_pipelines") for path in (CHECKOUT / top).rglob("*.py")]
    sources = {}
    for path in paths:
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    assert len(sources) > 100
    return {
        name: {found.removeprefix(f"{PACKAGE}.") for found in imported_modules(source)} & set(sources) - {name}
        for name, source in sources.items()
    }


MODULES = read_modules()


def room_of(module: str) -> str | None:
    return next((room for room in ROOMS if module == room or module.startswith(f"{room}.")), None)


def test_every_module_is_in_a_room() -> None:
    homeless = {name for name in MODULES if room_of(name) is None}
    assert homeless == {"transforms", "transforms.models", "beam_pipelines"}  # their docstrings alone


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_room_above_it(room: str) -> None:
    upward = {
        f"{module} imports {found}"
        for module, imported in MODULES.items()
        if room_of(module) == room
        for found in imported
        if (other := room_of(found)) is not None and ROOMS.index(other) > ROOMS.index(room)
    }
    assert upward == set()


def test_no_modules_import_each_other_in_a_ring() -> None:
    try:
        TopologicalSorter(MODULES).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' → '.join(error.args[1])}")


def test_the_package_imports_neither_tests_nor_benchmarks() -> None:
    for top in ("schemas", "transforms", "beam_pipelines", PACKAGE):
        for path in (CHECKOUT / top).rglob("*.py"):
            found = {name.split(".")[0] for name in imported_modules(path.read_text(encoding="utf-8"))}
            assert not found & {"tests", "benchmarks", "schemas", "transforms", "beam_pipelines"}, path


def test_schemas_import_pyarrow_and_the_standard_library_only() -> None:
    allowed = {PACKAGE, "pyarrow", *sys.stdlib_module_names}
    for path in (CHECKOUT / "schemas").rglob("*.py"):
        found = {name.split(".")[0] for name in imported_modules(path.read_text(encoding="utf-8"))}
        assert found <= allowed, path


def test_an_import_inside_a_function_is_seen() -> None:
    source = "def late():\n    from klue_beam.schemas import shard\n    import pyarrow as pa\n"
    assert set(imported_modules(source)) == {"klue_beam.schemas", "klue_beam.schemas.shard", "pyarrow"}


def test_the_architecture_names_the_rooms_in_their_order_and_files_that_are_there() -> None:
    text = (CHECKOUT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `((?:schemas|transforms|beam_pipelines)[\w.]*)` \|", text, flags=re.MULTILINE)
    assert tuple(named) == ROOMS
    paths = re.findall(r"`((?:schemas|transforms|beam_pipelines|benchmarks|tests)/[\w/.]+)`", text)
    assert len(paths) > 5
    assert not [path for path in paths if not (CHECKOUT / path).exists()]


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in (*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            if not (document.parent / link).exists():
                broken.append(f"{document.name}: {link}")
    assert broken == []
