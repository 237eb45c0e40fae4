"""The format of inputs, told by the names of their files."""

from collections.abc import Iterable

from klue_beam.schemas.config import require
from klue_beam.schemas.registry import FORMATS
from klue_beam.transforms.base.stores.finding import find_files, require_readable


def format_of(path: str) -> str | None:
    """Tell a file's format by its suffix, that of its compression taken off; None where it tells nothing.

    >>> format_of("dump/novel.jsonl.xz"), format_of("notes.txt"), format_of("README")
    ('jsonl', 'text', None)
    """
    return next((name for name, known in FORMATS.items() if known.is_input(path)), None)


def _list_suffixes() -> str:
    return ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)


def _matches(named: str) -> list[str]:
    """Give the files that an input matches, whatever their format."""
    matches = [file.path for file in find_files(named) if not file.in_folder or format_of(file.path) is not None]
    for path in matches:
        require_readable(path)
    require(
        bool(matches),
        "Each input must match at least one file",
        named,
        f"Check the path; of a folder, files ending in {_list_suffixes()} are read, compressed ones too.",
    )
    return matches


def infer_format(inputs: Iterable[str]) -> str:
    """Tell the one format of all inputs by the suffixes of their files.

    Raises:
      ValueError: if an input matches nothing, a suffix tells nothing, or the files are of several formats.
      OSError: if a file may not be read.
    """
    example_of: dict[str, str] = {}
    for path in (path for named in inputs for path in _matches(named)):
        known = format_of(path)
        if known is None:
            raise ValueError(
                f"`--input_format` must be given where a suffix is none of {_list_suffixes()}, got {path!r}. "
                f"Name one of {', '.join(FORMATS)}."
            )
        example_of.setdefault(known, path)
    require(
        len(example_of) == 1,
        "All inputs of a dataset must have one format",
        ", ".join(f"{path} ({known})" for known, path in sorted(example_of.items())),
        "Annotate each format into a folder of its own, or name the one format with `--input_format`.",
    )
    return next(iter(example_of))
