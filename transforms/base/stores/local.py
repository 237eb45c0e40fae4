"""Files in folders of this machine, or of a file system that all machines mount."""

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from klue_beam.schemas.shard import ATTEMPTS_DIR
from klue_beam.transforms.base.stores.base import (
    Content,
    DatasetInUseError,
    Entry,
    ObjectChangedError,
    Stat,
    Store,
    StoreError,
)


class LocalStore(Store):
    """A folder.

    A file is made in `_attempts`, brought to the disk, and gets its name by a hard link, which fails where the name is
    taken. A version is the modification time in ns.

    Args:
      root: the folder; it need not be there yet. "" is the working directory.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._root = root

    def stat(self, key: str) -> Stat | None:
        """Give a file's size and modification time, None if there is no such file."""
        try:
            status = os.stat(self.address(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(status.st_size, str(status.st_mtime_ns))

    def open(self, key: str, version: str | None = None) -> BinaryIO:
        """Open a file for reading."""
        import smart_open  # noqa: PLC0415  it takes a fifth of a second to import, and a command's help opens no file

        file: BinaryIO = smart_open.open(os.path.abspath(self.address(key)), "rb", compression="disable")
        try:
            _require_version(self.address(key), file.fileno(), version)
        except BaseException:
            file.close()
            raise
        return file

    def open_arrow(self, key: str, version: str | None = None) -> pa.NativeFile:
        """Open a file for Arrow's own readers, without Python between them and the disk."""
        if version is not None:
            self.open(key, version).close()
        return pa.OSFile(self.address(key), mode="r")

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """List the files whose keys begin with `prefix`, in the order of their keys."""
        folder = prefix.rpartition("/")[0]
        for key, status in self._walk(folder):
            if key.startswith(prefix):
                yield Entry(key, status.st_size, str(status.st_mtime_ns))

    def _walk(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(self.address(folder) or os.curdir) as found:
                # A folder's own name must sort as the keys in it do: with its slash.
                entries = sorted(found, key=lambda entry: entry.name + "/" * entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(key)
            else:
                with contextlib.suppress(FileNotFoundError):  # deleted since the folder was read
                    yield key, entry.stat(follow_symlinks=entry.is_file())

    def put_if_absent(self, key: str, content: Content) -> bool:
        """Put a file where none of that name is, by a hard link."""
        target = self.address(key)
        _make_folder(os.path.dirname(target))
        with self._finished(key, content) as path:
            try:
                os.link(path, target)
            except FileExistsError:
                return False
            except FileNotFoundError as error:
                if path.exists():
                    raise StoreError(
                        f"The folder of {target} was taken away while a run writes to it. Run the command again."
                    ) from error
                raise _attempt_is_gone(path) from error
            except OSError as error:
                raise StoreError(
                    f"{target} cannot be published by a hard link ({error}). Choose a dataset folder on a file system "
                    "that has hard links and room for the file."
                ) from error
        _sync_folder(os.path.dirname(target))
        return True

    def replace(self, key: str, content: Content, version: str) -> bool:
        """Put a file in the place of one that is still the version read before.

        Whoever replaces a file holds a lock on it, so that of two only one finds the version that it read.
        """
        target = self.address(key)
        with contextlib.ExitStack() as stack:
            try:
                standing = stack.enter_context(self.open(key))
            except FileNotFoundError:
                return False
            path = stack.enter_context(self._finished(key, content))
            fcntl.flock(standing, fcntl.LOCK_EX)
            held = os.fstat(standing.fileno())
            if str(held.st_mtime_ns) != version or not _is_at(held, target):
                return False
            # The clock of a file system has steps of some ms: two files made within one must differ in version.
            made = os.stat(path)
            if made.st_mtime_ns <= held.st_mtime_ns:
                os.utime(path, ns=(made.st_atime_ns, held.st_mtime_ns + 1))
            if isinstance(content, Path):
                os.link(content, path := self.attempt_path(os.path.basename(key)))
            os.replace(path, target)
        _sync_folder(os.path.dirname(target))
        return True

    @contextlib.contextmanager
    def _finished(self, key: str, content: Content) -> Iterator[Path]:
        """Give content as a file that is on the disk; one that was made for it here is removed again."""
        if isinstance(content, Path):
            try:
                _sync_file(content)
            except FileNotFoundError as error:
                raise _attempt_is_gone(content) from error
            yield content
            return
        path = self.attempt_path(os.path.basename(key))
        try:
            with path.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Delete a file; does nothing where there is none."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.address(key))

    def attempt_path(self, name: str) -> Path:
        """Give a path in `_attempts`, which is on the file system of the root, as hard links need it."""
        folder = os.path.join(self._root, ATTEMPTS_DIR)
        _make_folder(folder)
        stem, suffix = os.path.splitext(name)
        return Path(folder) / f"{stem}-{uuid.uuid4().hex}{suffix}"

    def clear_attempts(self) -> int:
        """Remove what killed attempts left."""
        folder = os.path.join(self._root, ATTEMPTS_DIR)
        try:
            left = len(os.listdir(folder))
        except FileNotFoundError:
            return 0
        shutil.rmtree(folder)
        return left

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second driver out of the folder, which is made if it is absent, and unmade if it then stays empty.

        The lock is on the folder itself and the kernel drops it with the process, however that ends: it leaves no file.
        """
        root = self._root or os.curdir
        folder, is_new = self._lock_folder(root)
        try:
            yield
        finally:
            if is_new:  # while it is locked, so that it is nobody else's
                with contextlib.suppress(OSError):
                    os.rmdir(root)
            os.close(folder)

    def _lock_folder(self, root: str) -> tuple[int, bool]:
        is_new = False
        while True:
            is_new = _make_folder(root) or is_new
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(os.fstat(folder), root):  # else whoever held it before has unmade it
                    return folder, is_new
            except BlockingIOError as error:
                os.close(folder)
                raise DatasetInUseError(
                    f"One process at a time may annotate into a folder, got {root!r}, where another one is at work. "
                    "Wait for it, or choose another --output."
                ) from error
            except BaseException:
                os.close(folder)
                raise
            os.close(folder)

    def is_there(self) -> bool:
        """Tell whether the folder is there."""
        return os.path.isdir(self._root or os.curdir)

    def address(self, key: str) -> str:
        """Give a file's path."""
        if key.startswith("/") or ".." in key.split("/"):
            raise ValueError(
                f"A key must be a path below its store, got {key!r}. Name it without '..' and '/' at its head."
            )
        return os.path.join(self._root, key) if key else self._root


def _require_version(address: str, descriptor: int, version: str | None) -> None:
    found = str(os.fstat(descriptor).st_mtime_ns)
    if version not in (None, found):
        raise ObjectChangedError(
            f"{address} must still be version {version}, got {found}: it was written again since. Restore it."
        )


def _is_at(status: os.stat_result, path: str) -> bool:
    """Tell whether an open file is still the one of this name."""
    try:
        return os.path.samestat(status, os.stat(path))
    except FileNotFoundError:
        return False


def _attempt_is_gone(path: Path) -> StoreError:
    return StoreError(
        f"The attempt file {path} is gone: another run into the same folder cleared it. Let one run at a time write to "
        "a dataset, and run the command again."
    )


def _make_folder(folder: str) -> bool:
    """Make a folder and those above it; tell whether this call made it."""
    try:
        os.mkdir(folder or os.curdir)
    except FileExistsError:
        if os.path.isdir(folder or os.curdir):
            return False
        raise
    except FileNotFoundError:
        _make_folder(os.path.dirname(folder))
        return _make_folder(folder)
    _sync_folder(os.path.dirname(folder))
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Bring a folder's entries to the disk, where its file system can do that."""
    descriptor = os.open(folder or os.curdir, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
