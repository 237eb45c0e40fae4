"""What a user names: a file, a folder of files, or a pattern of names, opened up to files."""

import glob
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from klue_beam.schemas.shard import Source
from klue_beam.transforms.base.stores.opening import SCHEME_END, locate

LEFT_OUT: Final = (".", "_")
"""What begins so is left out of a folder: hidden files, and what programs keep beside their data."""


class FoundFile(NamedTuple):
    """A file that was found.

    Attributes:
      path: as it was named, or below the folder that was named.
      in_folder: whether it was found in a folder, so that its name was chosen by nobody.
    """

    path: str
    in_folder: bool


def find_files(named: str) -> Iterator[FoundFile]:
    """Open up a path, a glob (`**` for any depth) or a folder; what one matches is sorted by path.

    Hidden files and those that begin with `_` are left out unless named; links to folders are not followed.

    Raises:
      ValueError: if it is an address of a store.
    """
    if SCHEME_END in named:
        raise ValueError(f"An input must be a path that every worker can read, got {named!r}. Mount or copy it.")
    if os.path.isdir(named):
        yield from _walk(named)
    elif os.path.exists(named):  # also a name that only looks like a glob
        yield FoundFile(named, in_folder=False)
    else:
        underscore_asked = os.path.basename(named).startswith("_")
        for path in sorted(glob.glob(named, recursive=True)):
            if os.path.basename(path).startswith("_") and not underscore_asked:
                continue
            yield from _walk(path) if os.path.isdir(path) else (FoundFile(path, in_folder=False),)


def _walk(folder: str) -> Iterator[FoundFile]:
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(LEFT_OUT)]
        paths += [os.path.join(parent, name) for name in names if not name.startswith(LEFT_OUT)]
    yield from (FoundFile(path, in_folder=True) for path in sorted(paths))


def require_readable(path: str) -> None:
    """Refuse what cannot be read as a file.

    Raises:
      ValueError: if it is no file.
      PermissionError: if it may not be read.
    """
    if not os.path.isfile(path):
        raise ValueError(f"An input must be a file or a folder of files, got {path!r}. Save it as a file first.")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"An input must be readable, got {path!r}. Change its permissions, or leave it out.")


def same_file_key(path: str) -> str:
    """Give what is equal for two names of one file, from wherever it is called."""
    return os.path.abspath(path)


def stat_source(path: str) -> Source:
    """Take a source as it stands: its size and version.

    Raises:
      OSError: if the file is absent or may not be read.
    """
    store, key = locate(path)
    found = store.stat(key)
    if found is None:
        raise FileNotFoundError(2, os.strerror(2), path)
    return Source(path, found.size_bytes, found.version)
