"""klue-beam: annotate Korean text with the KLUE tasks. The public names; each is imported when it is first used."""

import ast
import importlib
from pathlib import Path
from typing import Any, Final

# One place says where each name is: the stub that type checkers read. Nothing heavy is imported before it is used.
_PLACES: Final = {
    alias.name: str(node.module)
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}

__all__ = sorted([*_PLACES, "__version__"])  # noqa: PLE0605  names that are imported late


def __getattr__(name: str) -> Any:
    """Import a public name, and keep it."""
    if name == "__version__":
        found: Any = importlib.import_module("importlib.metadata").version("klue-beam")
    elif name in _PLACES:
        found = getattr(importlib.import_module(_PLACES[name]), name)
    else:
        raise AttributeError(f"module 'klue_beam' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
