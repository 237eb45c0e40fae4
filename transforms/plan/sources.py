"""Open up what a user names as inputs: paths, globs and folders, to the sources of a plan."""

import os
from collections.abc import Sequence

from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Source
from klue_beam.transforms.base.stores.finding import find_files, require_readable, same_file_key, stat_source
from klue_beam.transforms.formats.bytes import COMPRESSED_SUFFIXES, is_compressed


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
        found = [file.path for file in find_files(named) if not file.in_folder or _is_input(file.path, input_format)]
        if not found:
            raise ValueError(_no_match(named, input_format))
        for path in found:
            paths.setdefault(same_file_key(path), path)
    if not FORMATS[input_format].unpacks and (packed := [path for path in paths.values() if is_compressed(path)]):
        raise ValueError(
            f"Inputs of format {input_format} must not be compressed as a whole, got {packed[0]!r}. Unpack it: the "
            "format compresses inside."
        )
    for path in paths.values():
        _require_utf8(path)
        require_readable(path)
    return [stat_source(path) for path in paths.values()]


def _require_utf8(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"An input's path must be UTF-8, got {path!r}. Rename it.") from error


def _is_input(path: str, input_format: str) -> bool:
    return FORMATS[input_format].is_input(os.path.basename(path))


def _no_match(named: str, input_format: str) -> str:
    suffixes = ", ".join(FORMATS[input_format].suffixes)
    packed = "" if not FORMATS[input_format].unpacks else f", also with {', '.join(COMPRESSED_SUFFIXES)} behind it"
    return (
        f"Each input must match at least one file, got {named!r} with none. Check the path; of a folder, files ending "
        f"in {suffixes}{packed} are read as `{input_format}`."
    )
