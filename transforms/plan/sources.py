"""Open up what a user names as inputs: paths, globs and folders, to the sources of a plan."""

from collections.abc import Sequence

from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Source
from klue_beam.transforms.base.stores.finding import (
    absolute_address,
    find_files,
    require_readable,
    same_file_key,
    stat_source,
)
from klue_beam.transforms.formats.bytes import COMPRESSED_SUFFIXES, is_compressed


def find_sources(inputs: Sequence[str], input_format: str) -> list[Source]:
    """Open up inputs, in the order given, what one of them matches sorted by path.

    A folder gives its files, and those of the folders in it, whose name ends as the format's do. Hidden files and
    those that begin with `_` are left out unless named; links to folders are not followed, and datasets in a folder
    left out. A file that several inputs name, or several links, is taken once, by the first name.

    Args:
      inputs: paths, globs (`**` for any depth) and folders.
      input_format: a name out of FORMATS.

    Raises:
      ValueError: if there are no inputs, or one matches nothing, is remote, no file, not named in UTF-8, or compressed
        as a whole where the format compresses inside.
      OSError: if a file or folder cannot be read.
    """
    if not inputs:
        raise ValueError("`inputs` must name at least one file, folder or glob, got none. Name one.")
    paths: dict[str, str] = {}
    for named in inputs:
        files = find_files(named)
        found = [file.path for file in files if not file.in_folder or FORMATS[input_format].is_input(file.path)]
        if not found:
            raise ValueError(_no_match(named, input_format))
        for path in found:
            require_readable(path)
            paths.setdefault(same_file_key(absolute_address(path)), path)
    if not FORMATS[input_format].unpacks and (packed := [path for path in paths.values() if is_compressed(path)]):
        raise ValueError(
            f"Inputs of format {input_format} must not be compressed as a whole, got {packed[0]!r}. Unpack it: the "
            "format compresses inside."
        )
    return [stat_source(path) for path in paths.values()]


def new_sources(found: Sequence[Source], planned: Sequence[Source]) -> list[Source]:
    """Give the sources that are not planned yet, in their order.

    Raises:
      ValueError: if one has the name of a planned source that is another file: rows are told apart by that name.
    """
    known = {same_file_key(source.address) for source in planned}
    places = {source.path: source.address for source in planned}
    added = [source for source in found if same_file_key(source.address) not in known]
    for source in added:
        if source.path in places:
            raise ValueError(
                f"Two sources of a dataset must not have one name, got {source.path!r} for {places[source.path]!r} and "
                f"for {source.address!r}. Name the new one by its full path."
            )
    return added


def _no_match(named: str, input_format: str) -> str:
    suffixes = ", ".join(FORMATS[input_format].suffixes)
    packed = "" if not FORMATS[input_format].unpacks else f", also with {', '.join(COMPRESSED_SUFFIXES)} behind it"
    return (
        f"Each input must match at least one file, got {named!r} with none. Check the path; of a folder, files ending "
        f"in {suffixes}{packed} are read as `{input_format}`."
    )
