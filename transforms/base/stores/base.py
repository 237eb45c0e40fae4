"""What every store can do: read, list, and put a file where none is yet."""

import abc
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa

Content = bytes | Path
"""What is put into a store: bytes, or a finished file on this machine, made at a path that `attempt_path` gave."""


class StoreError(RuntimeError):
    """A store cannot do what is asked of it."""


class ObjectChangedError(RuntimeError):
    """A file of a store is not the version that was asked for."""


class DatasetInUseError(RuntimeError):
    """Another process annotates into the dataset."""


class Stat(NamedTuple):
    """A file as it stands.

    Attributes:
      size_bytes: its size.
      version: another text whenever the content is another: a modification time in ns, an ETag, a generation.
    """

    size_bytes: int
    version: str


class Entry(NamedTuple):
    """A file in a listing; the fields are those of Stat, behind its key."""

    key: str
    size_bytes: int
    version: str


class Store(abc.ABC):
    """A root below which files lie, each named by its key: a relative path with `/` between its parts.

    A file is put whole or not at all, and nobody sees a part of one. Two writers need no lock between them, since each
    file is put only where none is yet (`put_if_absent`), or only over the version that was read before (`replace`).

    A store of one's own is registered by its scheme, as the entry point `klue_beam.stores`; its class is called with
    the whole address.

    Attributes:
      url: the root, as it was given.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @abc.abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Give a file's size and version, None if there is no such file.

        Raises:
          OSError: if the store cannot be asked.
        """

    @abc.abstractmethod
    def open(self, key: str, version: str | None = None) -> BinaryIO:
        """Open a file for reading, from any place in it.

        Args:
          key: its key.
          version: if given, the file must be this version when it is opened.

        Raises:
          FileNotFoundError: if there is none.
          ObjectChangedError: if it is another version.
          OSError: if it cannot be read.
        """

    @abc.abstractmethod
    def list(self, prefix: str = "") -> Iterator[Entry]:
        """List the files whose keys begin with `prefix`, in the order of their keys; none if there is no such folder.

        Raises:
          OSError: if a folder cannot be read.
        """

    @abc.abstractmethod
    def put_if_absent(self, key: str, content: Content) -> bool:
        """Put a file where none of that name is; at no moment is a part of it seen there.

        Returns:
          Whether it was put; False where a file of that name is there already, which is left as it is.

        Raises:
          StoreError: if the store cannot keep that promise, or a finished file to put is gone.
          OSError: if it cannot be written.
        """

    @abc.abstractmethod
    def replace(self, key: str, content: Content, version: str) -> bool:
        """Put a file in the place of one that is still the version read before.

        Returns:
          Whether it was replaced; False where the file is another version by now, or gone.

        Raises:
          OSError: if it cannot be written.
        """

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Delete a file; does nothing where there is none.

        Raises:
          OSError: if it cannot be deleted.
        """

    @abc.abstractmethod
    def attempt_path(self, name: str) -> Path:
        """Give a path on this machine, where nothing is and nobody else writes, to make a file at before it is put.

        Args:
          name: how the file's name begins; a unique text is added before its suffix.

        Raises:
          OSError: if its folder cannot be made.
        """

    def discard(self, attempt: Path) -> None:
        """Throw away a file at a path that `attempt_path` gave; does nothing where it is gone."""
        attempt.unlink(missing_ok=True)

    @abc.abstractmethod
    def clear_attempts(self) -> int:
        """Remove what killed attempts left. Only for a driver that knows that nobody else writes here.

        Returns:
          How many files were removed.
        """

    @abc.abstractmethod
    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Keep a second driver out while the context lasts, in a store that has locks.

        Raises:
          DatasetInUseError: if another process has the lock.
          OSError: if it cannot be had.
        """

    @abc.abstractmethod
    def is_there(self) -> bool:
        """Tell whether there is such a root at all."""

    @abc.abstractmethod
    def address(self, key: str) -> str:
        """Give a file's path or URL, as people and other programs name it."""

    def read(self, key: str, begin: int = 0, end: int | None = None, version: str | None = None) -> bytes:
        """Read a file's bytes [begin, end), to its end where `end` is None.

        Raises:
          FileNotFoundError, ObjectChangedError, OSError: as `open`.
        """
        with self.open(key, version) as file:
            if begin:
                file.seek(begin)
            return file.read() if end is None else file.read(end - begin)

    def open_arrow(self, key: str, version: str | None = None) -> pa.NativeFile:
        """Open a file for Arrow's own readers.

        Raises:
          FileNotFoundError, ObjectChangedError, OSError: as `open`.
        """
        return pa.PythonFile(self.open(key, version), mode="r")

    def overwrite(self, key: str, content: bytes) -> None:
        """Put a small file, whatever stands there; of several writers the last one wins.

        Raises:
          StoreError, OSError: as `put_if_absent`.
        """
        while not self.put_if_absent(key, content):
            there = self.stat(key)
            if there is not None and self.replace(key, content, there.version):
                return
