"""Imports point one way: beam_pipelines to transforms to schemas, and schemas to pyarrow and the standard library."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "schemas": {"schemas"},
    "transforms": {"schemas", "transforms"},
    "beam_pipelines": {"schemas", "transforms", "beam_pipelines"},
}


def imported_packages(source: str) -> Iterator[str]:
    """Top-level packages that a module's code imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be checked"
            yield str(node.module).split(".")[0]


def modules(room: str) -> list[Path]:
    found = sorted((CHECKOUT / room).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_no_room_above_it(room: str) -> None:
    forbidden = (set(MAY_IMPORT) | {"tests", "benchmarks"}) - MAY_IMPORT[room]
    upward = {
        f"{path.relative_to(CHECKOUT)} imports {package}"
        for path in modules(room)
        for package in imported_packages(path.read_text(encoding="utf-8"))
        if package in forbidden
    }
    assert upward == set()


def test_schemas_import_pyarrow_and_the_standard_library_only() -> None:
    allowed = {"schemas", "pyarrow", *sys.stdlib_module_names}
    foreign = {
        f"{path.relative_to(CHECKOUT)} imports {package}"
        for path in modules("schemas")
        for package in imported_packages(path.read_text(encoding="utf-8"))
        if package not in allowed
    }
    assert foreign == set()


def test_an_import_inside_a_function_is_seen() -> None:
    source = "def late():\n    from beam_pipelines.cli import main\n    import transforms.write as write\n"
    assert set(imported_packages(source)) == {"beam_pipelines", "transforms"}
