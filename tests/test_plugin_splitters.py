"""A splitter from a package of one's own, one file by entry point."""

import subprocess
import sys
from pathlib import Path

from tests.plugins import install_plugin, plugin_environment

SOURCE = """
import numpy as np

from klue_beam.transforms.split.splitters.base import SplitterEntry
from klue_beam.transforms.split.splitters.simple import CuttingSplitter


def find_cuts(codes, space, begins):
    return np.flatnonzero(codes == ord("/")) + 1


SPLITTER = SplitterEntry(lambda: CuttingSplitter("slashes", find_cuts), lambda: "7")
"""

USE = """
from klue_beam.schemas.config import AnnotateConfig
from klue_beam.transforms.split.sentences import load_splitter, splitter_version

AnnotateConfig(splitter="slashes")
print(load_splitter("slashes")("하나/둘/ 셋"), splitter_version("slashes"))
"""


def test_it_is_loaded_by_its_name(tmp_path: Path) -> None:
    folder = install_plugin(
        tmp_path / "package", "slashes", SOURCE, {"klue_beam.splitters": {"slashes": "slashes:SPLITTER"}}
    )
    done = subprocess.run(
        [sys.executable, "-c", USE],
        env=plugin_environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.strip() == "[(0, 3), (3, 5), (6, 7)] 7"
