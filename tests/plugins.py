"""Packages of a person's own, that add members to the registries by entry points, made on the spot."""

import os
from collections.abc import Mapping
from pathlib import Path


def install_plugin(folder: Path, name: str, source: str, entry_points: Mapping[str, Mapping[str, str]]) -> Path:
    """Install a package of one module.

    Args:
      folder: where to; a folder that is on no path yet.
      name: of the module and of the package.
      source: the module's code.
      entry_points: by group (`klue_beam.formats`), the names with their objects (`my_module:FORMAT`).

    Returns:
      The folder, to be put on the path of a process (`plugin_environment`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = []
    for group, members in entry_points.items():
        lines += [f"[{group}]", *(f"{member} = {place}" for member, place in members.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def plugin_environment(*folders: Path) -> dict[str, str]:
    """Give the variables of a process, and of those that it starts, in which the packages of these folders are."""
    path = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
