"""Open up what a user names as inputs: paths, globs and folders, to the sources of a plan."""

import glob
import os
from collections.abc import Iterator, Sequence

from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Source
from klue_beam.transforms.formats.bytes import COMPRESSED_SUFFIXES, is_compressed, stat_source


def find_sources(inputs: Sequence[str], input_format: str) -> list[Source]:
    """Open up inputs, in the order given, what one of them matches sorted by path.

    A folder gives its files, and those of the folders in it, whose name ends as the format's do. Hidden files and
    those that begin with `_` are left out unless named; links to folders are not followed. A file that several inputs
    name is taken once.

    Args:
      inputs: paths, globs (`**` for any depth) and folders.
      input_format: a name out of FORMATS.

    Raises:
      ValueError: if there are no inputs, or one matches nothing, is remote, no file, not named in UTF-8, or compressed
        Parquet.
      PermissionError: if a file may not be read.
    """
    if not inputs:
        raise ValueError("`inputs` must name at least one file, folder or glob, got none. Name one.")
    paths: dict[str, str] = {}
    for named in inputs:
        found = list(_open_up(named, input_format))
        if not found:
            raise ValueError(_no_match(named, input_format))
        for path in found:
            paths.setdefault(os.path.abspath(path), path)
    if not FORMATS[input_format].unpacks and (packed := [path for path in paths.values() if is_compressed(path)]):
        raise ValueError(
            f"Inputs of format {input_format} must not be compressed as a whole, got {packed[0]!r}. Unpack it: the "
            "format compresses inside."
        )
    for path in paths.values():
        _require_readable(path)
    return [stat_source(path) for path in paths.values()]


def _require_readable(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"An input's path must be UTF-8, got {path!r}. Rename it.") from error
    if not os.path.isfile(path):
        raise ValueError(f"An input must be a file or a folder of files, got {path!r}. Save it as a file first.")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"An input must be readable, got {path!r}. Change its permissions, or leave it out.")


def _open_up(named: str, input_format: str) -> Iterator[str]:
    if "://" in named:
        raise ValueError(f"An input must be a path that every worker can read, got {named!r}. Mount or copy it.")
    if os.path.isdir(named):
        yield from _walk(named, input_format)
    elif os.path.exists(named):  # also a name that only looks like a glob
        yield named
    else:
        hidden_asked = os.path.basename(named).startswith("_")
        for path in sorted(glob.glob(named, recursive=True)):
            if os.path.basename(path).startswith("_") and not hidden_asked:
                continue
            yield from _walk(path, input_format) if os.path.isdir(path) else (path,)


def _walk(folder: str, input_format: str) -> Iterator[str]:
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        paths += [os.path.join(parent, name) for name in names if _is_input(name, input_format)]
    yield from sorted(paths)


def _is_input(name: str, input_format: str) -> bool:
    return not name.startswith((".", "_")) and FORMATS[input_format].is_input(name)


def _no_match(named: str, input_format: str) -> str:
    suffixes = ", ".join(FORMATS[input_format].suffixes)
    packed = "" if not FORMATS[input_format].unpacks else f", also with {', '.join(COMPRESSED_SUFFIXES)} behind it"
    return (
        f"Each input must match at least one file, got {named!r} with none. Check the path; of a folder, files ending "
        f"in {suffixes}{packed} are read as `{input_format}`."
    )
