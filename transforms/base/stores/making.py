"""A file or folder on this machine that is seen when it is whole, and not before."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def make_whole(output: Path, option: str) -> Iterator[Path]:
    """Give a path to make a file or a folder at; when the context ends well, it gets its own name.

    Args:
      output: what is made; nothing may be there. The folder around it is made if it is absent.
      option: what `output` was given for, as the user calls it.

    Raises:
      FileExistsError: if something is there, before or after.
      OSError: if it cannot be made.
    """
    _require_absent(output, option)
    output.parent.mkdir(parents=True, exist_ok=True)
    made = output.with_name(f".{output.name}-{uuid.uuid4().hex}")
    try:
        yield made
        _require_absent(output, option)
        if made.is_dir():
            made.rename(output)
        else:
            with made.open("rb") as file:
                os.fsync(file.fileno())
            os.link(made, output)
    finally:
        if made.is_dir():
            shutil.rmtree(made, ignore_errors=True)
        made.unlink(missing_ok=True)


def _require_absent(output: Path, option: str) -> None:
    if output.exists() or output.is_symlink():
        raise FileExistsError(
            f"`{option}` must not be there yet, got {str(output)!r}. Choose another, or take it away."
        )
