"""Fixtures that every room's tests share."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that setup.py and run.sh lie in."""
    return CHECKOUT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of corpora that some tests read, KLUE_BEAM_DATA or ../shared/data; without it they are skipped."""
    folder = Path(os.environ.get("KLUE_BEAM_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the corpora, and KLUE_BEAM_DATA or ../shared/data is no folder: {folder}")
    return folder


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built from a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("sdist") / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "klue_beam", copy / "klue_beam", ignore=ignore, symlinks=True)
    for room in ("schemas", "transforms", "beam_pipelines"):
        shutil.copytree(CHECKOUT / room, copy / room, ignore=ignore)
    for name in (
        "setup.py",
        "pyproject.toml",
        "MANIFEST.in",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "constraints.txt",
    ):
        shutil.copy(CHECKOUT / name, copy / name)
    subprocess.run([sys.executable, "setup.py", "-q", "sdist"], cwd=copy, check=True, capture_output=True, timeout=120)
    (archive,) = (copy / "dist").iterdir()
    return archive
