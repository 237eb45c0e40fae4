"""What a user names: a file, a folder of files, or a pattern of names, opened up to files."""

import glob
import os
from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

from klue_beam.schemas.shard import PLAN_FILE, Source
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

    Hidden files and those that begin with `_` are left out unless named; links to folders are not followed. So are the
    files of a dataset (a folder with a plan) that lies below what is named: an output in the folder of its inputs is no
    input of the next run.

    Raises:
      ValueError: if it is an address of a store.
      OSError: if a folder cannot be read.
    """
    if SCHEME_END in named:
        raise ValueError(f"An input must be a path that every worker can read, got {named!r}. Mount or copy it.")
    if os.path.isdir(named):
        yield from _walk(named)
    elif os.path.lexists(named):  # also a name that only looks like a glob, and a link to nothing, which is refused
        yield FoundFile(named, in_folder=False)
    else:
        yield from _match(named)


def _match(pattern: str) -> Iterator[FoundFile]:
    underscore_asked = os.path.basename(pattern).startswith("_")
    base = _fixed_part(pattern)
    for path in sorted(glob.glob(pattern, recursive=True)):
        if os.path.basename(path).startswith("_") and not underscore_asked:
            continue
        if _is_in_dataset(path, base):
            continue
        yield from _walk(path) if os.path.isdir(path) else (FoundFile(path, in_folder=False),)


def _fixed_part(pattern: str) -> str:
    """Give the folder that a pattern names before its first sign that stands for others."""
    folder = pattern
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def _is_in_dataset(path: str, base: str) -> bool:
    """Tell whether a folder between `base` and `path` holds a dataset."""
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    while len(folder) > len(base):
        if os.path.lexists(os.path.join(folder, PLAN_FILE)):
            return True
        folder = os.path.dirname(folder)
    return False


def _walk(folder: str) -> Iterator[FoundFile]:
    paths = []
    for parent, folders, names in os.walk(folder, onerror=_refuse_folder):
        if parent != folder and PLAN_FILE in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(LEFT_OUT)]
        paths += [os.path.join(parent, name) for name in names if not name.startswith(LEFT_OUT)]
    yield from (FoundFile(path, in_folder=True) for path in sorted(paths))


def _refuse_folder(error: OSError) -> NoReturn:
    raise PermissionError(
        f"A folder of inputs must be readable, with all folders in it, got {error.filename!r} ({error.strerror}). "
        "Change its permissions, or name the files that are wanted."
    ) from error


def require_readable(path: str) -> None:
    """Refuse what cannot be read as a file.

    Raises:
      ValueError: if it is no file, or has a name that is not UTF-8.
      PermissionError: if it may not be read.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"An input's path must be UTF-8, got {path!r}. Rename it.") from error
    if os.path.islink(path) and not os.path.exists(path):
        raise ValueError(
            f"An input must be a file, got {path!r}, a link to {os.readlink(path)!r}, which is not there. Restore "
            "that, or remove the link."
        )
    if not os.path.isfile(path):
        raise ValueError(f"An input must be a file or a folder of files, got {path!r}. Save it as a file first.")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"An input must be readable, got {path!r}. Change its permissions, or leave it out.")


def same_file_key(address: str) -> str:
    """Give what is equal for all names of one file, links among them; of one that is gone, for all ways to write it.

    Args:
      address: an absolute path, or an address of a store.
    """
    if SCHEME_END in address:
        return address
    try:
        status = os.stat(address)
    except OSError:
        return os.path.realpath(address)
    return f"{status.st_dev}:{status.st_ino}"


def absolute_address(path: str) -> str:
    """Give an address that means the same in any working directory.

    >>> absolute_address("s3://bucket/a.txt")
    's3://bucket/a.txt'
    """
    return path if SCHEME_END in path else os.path.abspath(path)


def follow_dataset(location: str, planned_at: str, found_at: str) -> str:
    """Say where a source lies by now, whose dataset may have been moved since it was planned.

    It is looked for where it stands to the dataset as it did, and where it was.

    Args:
      location: where it lay.
      planned_at: where the dataset lay then.
      found_at: where the dataset lies now.
    """
    if planned_at == found_at or any(SCHEME_END in address for address in (location, planned_at, found_at)):
        return location
    moved = os.path.normpath(os.path.join(found_at, os.path.relpath(location, planned_at)))
    return location if os.path.exists(location) and not os.path.exists(moved) else moved


def is_inside(address: str, folder: str) -> bool:
    """Tell whether a file lies in a folder, whatever links lead to both."""
    if SCHEME_END in address or SCHEME_END in folder:
        return address.startswith(f"{folder.rstrip('/')}/")
    return os.path.realpath(address).startswith(os.path.join(os.path.realpath(folder), ""))


def stat_source(path: str) -> Source:
    """Take a source as it stands: its size and version, and where it lies.

    Raises:
      OSError: if the file is absent or may not be read.
    """
    store, key = locate(path)
    found = store.stat(key)
    if found is None:
        raise FileNotFoundError(2, os.strerror(2), path)
    return Source(path, found.size_bytes, found.version, absolute_address(path))
