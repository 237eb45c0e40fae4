"""A store in memory: the module of a package of its own. It has no folder, as an object store has none."""

import contextlib
import io
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from klue_beam.transforms.base.stores.base import Content, Entry, ObjectChangedError, Stat, Store

OBJECTS: dict[str, tuple[bytes, str]] = {}
"""Content and version of each object, by its URL; all stores of a process share them."""


class MemoryStore(Store):
    """Objects below a URL, with attempts in a temporary folder of the machine."""

    _lock = threading.Lock()
    _attempts = Path(tempfile.gettempdir()) / f"memory-store-{uuid.uuid4().hex}"

    def address(self, key: str) -> str:
        return f"{self.url}/{key}"

    def stat(self, key: str) -> Stat | None:
        found = OBJECTS.get(self.address(key))
        return None if found is None else Stat(len(found[0]), found[1])

    def open(self, key: str, version: str | None = None) -> BinaryIO:
        if self.address(key) not in OBJECTS:
            raise FileNotFoundError(2, "No such object", self.address(key))
        content, found = OBJECTS[self.address(key)]
        if version not in (None, found):
            raise ObjectChangedError(f"{self.address(key)} must be version {version}, got {found}. Restore it.")
        return io.BytesIO(content)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for url in sorted(OBJECTS):
            if url.startswith(self.address(prefix)):
                content, version = OBJECTS[url]
                yield Entry(url.removeprefix(f"{self.url}/"), len(content), version)

    def put_if_absent(self, key: str, content: Content) -> bool:
        with self._lock:
            if self.address(key) in OBJECTS:
                return False
            OBJECTS[self.address(key)] = (self._bytes(content), uuid.uuid4().hex)
            return True

    def replace(self, key: str, content: Content, version: str) -> bool:
        with self._lock:
            if self.address(key) not in OBJECTS or OBJECTS[self.address(key)][1] != version:
                return False
            OBJECTS[self.address(key)] = (self._bytes(content), uuid.uuid4().hex)
            return True

    def delete(self, key: str) -> None:
        OBJECTS.pop(self.address(key), None)

    def attempt_path(self, name: str) -> Path:
        self._attempts.mkdir(exist_ok=True)
        return self._attempts / f"{uuid.uuid4().hex}-{name}"

    def clear_attempts(self) -> int:
        return 0

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def is_there(self) -> bool:
        return any(True for _ in self.list())

    def _bytes(self, content: Content) -> bytes:
        return content.read_bytes() if isinstance(content, Path) else content
