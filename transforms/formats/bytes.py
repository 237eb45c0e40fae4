"""Bytes of a source: unpacked where it is compressed, read by blocks, hashed as they are passed."""

import hashlib
import os
from collections.abc import Iterator
from typing import Final

from klue_beam.schemas.shard import SourceRange
from klue_beam.transforms.base.progress import note_expansion
from klue_beam.transforms.base.stores.finding import stat_source
from klue_beam.transforms.base.stores.opening import locate
from klue_beam.transforms.formats.unpacking import PACKINGS, PackedFile, Packing, StreamBreakError, unpack_blocks

COMPRESSED_SUFFIXES: Final = tuple(PACKINGS)
BLOCK_BYTES: Final = 1024 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class SourceChangedError(RuntimeError):
    """A source is not as it stood when the plan was made."""


def is_compressed(path: str) -> bool:
    """Tell by its name whether a file is compressed.

    >>> is_compressed("dump.jsonl.GZ"), is_compressed("dump.jsonl")
    (True, False)
    """
    return path.lower().endswith(COMPRESSED_SUFFIXES)


def check_unchanged(planned: SourceRange) -> None:
    """Compare a source with how it stood when the plan was made.

    Raises:
      SourceChangedError: if its size or its modification time is another.
      OSError: if it is gone.
    """
    found = stat_source(planned.address)
    if (found.size_bytes, found.version) != (planned.size_bytes, planned.version):
        raise SourceChangedError(
            f"A source must stay as it was planned ({planned.size_bytes} bytes, version {planned.version}), got "
            f"{found.size_bytes} bytes, version {found.version}: {planned.source!r}. Restore it, or annotate it into "
            "another output folder."
        )


def read_blocks(path: str, begin: int = 0, end: int = -1, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Read a byte range of a plain file, or a compressed file from its first byte to its last.

    Args:
      path: the file; one of COMPRESSED_SUFFIXES at its end means that it is decompressed.
      begin: first byte, for a plain file.
      end: where to stop, for a plain file; -1 reads to its end.
      block_bytes: largest block given.

    Raises:
      StreamBreakError: where a compressed file is cut short or broken, after all bytes before the break were given.
      SourceChangedError: if a plain file ends before `end`.
      OSError: if the file cannot be read.
    """
    store, key = locate(path)
    with store.open(key) as file:
        if is_compressed(path):
            yield from _unpack_noting(file, PACKINGS[os.path.splitext(path)[1].lower()], block_bytes)
            return
        file.seek(begin)
        position = begin
        while position != end:
            block = file.read(block_bytes if end < 0 else min(block_bytes, end - position))
            if not block:
                break
            position += len(block)
            yield block
        if end >= 0 and position < end:
            raise SourceChangedError(
                f"A source must keep the {end} bytes that were planned, got {position}: {path!r}. Restore it, or "
                "annotate it into another output folder."
            )


class _CountedFile:
    """A packed file that counts what was read of it."""

    def __init__(self, file: PackedFile) -> None:
        self._file = file
        self.read_bytes = 0

    def read(self, n_bytes: int, /) -> bytes:
        data = self._file.read(n_bytes)
        self.read_bytes += len(data)
        return data


def _unpack_noting(file: PackedFile, packing: Packing, block_bytes: int) -> Iterator[bytes]:
    """Unpack a file, and note on the way what a byte of it becomes, for the time left."""
    counted, given_bytes = _CountedFile(file), 0
    for block in unpack_blocks(counted, packing, block_bytes):
        given_bytes += len(block)
        note_expansion(given_bytes / counted.read_bytes)
        yield block


class ByteWindow:
    """A source's bytes from a place on, looked at ahead and hashed as they are passed.

    Memory stays at what was looked at and not passed yet, plus one block.

    Attributes:
      position: the first byte not passed yet, in the (decompressed) source.
      stream_break: the decompressor's message where the stream broke, else None; known once the end was seen.
    """

    def __init__(self, blocks: Iterator[bytes], position: int = 0) -> None:
        self.position = position
        self.stream_break: str | None = None
        self._blocks = blocks
        self._buffer = bytearray()
        self._offset = 0  # of `position` in the buffer
        self._hashed = 0  # bytes of the buffer that are hashed
        self._sha256 = hashlib.sha256()

    def find_line_end(self, limit_bytes: int) -> int:
        """Look for the next line end.

        Args:
          limit_bytes: read no further once more than so many bytes are at hand.

        Returns:
          How many bytes from `position` on end with it; -1 if the limit or the end of the source came first.
        """
        searched_bytes = 0
        while True:
            found = self._buffer.find(b"\n", self._offset + searched_bytes)
            if found >= 0:
                return found + 1 - self._offset
            searched_bytes = self.ahead_bytes()
            if searched_bytes > limit_bytes or not self._fill():
                return -1

    def ahead_bytes(self) -> int:
        """Count the bytes at hand that are not passed yet."""
        return len(self._buffer) - self._offset

    def peek(self, n_bytes: int) -> bytes:
        """Give up to `n_bytes` of what is at hand, without passing it."""
        return bytes(self._buffer[self._offset : self._offset + n_bytes])

    def advance(self, n_bytes: int) -> None:
        """Pass `n_bytes` of what is at hand."""
        self._offset += n_bytes
        self.position += n_bytes

    def advance_to(self, position: int) -> None:
        """Pass everything before `position`, or up to the end if that comes first."""
        while self.position < position and not self.at_end():
            self.advance(min(self.ahead_bytes(), position - self.position))

    def advance_lines(self, n_bytes: int) -> int:
        """Pass whole lines until at least `n_bytes` are passed or the end comes; -1 passes all. They are not held.

        Returns:
          How many lines were passed. What stands between the last line end and a break of the stream is none.
        """
        n_lines, stop, line_ended = 0, self.position + n_bytes, True
        while not self.at_end():
            begin, end = self._offset, len(self._buffer)
            if n_bytes >= 0 and stop - self.position <= end - begin:
                found = self._buffer.find(b"\n", begin + max(0, stop - 1 - self.position))
                if found >= 0:
                    n_lines += self._buffer.count(b"\n", begin, found + 1)
                    self.advance(found + 1 - begin)
                    return n_lines
            n_lines += self._buffer.count(b"\n", begin)
            line_ended = self._buffer.endswith(b"\n")
            self.advance(end - begin)
        return n_lines + (not line_ended and self.stream_break is None)

    def at_end(self) -> bool:
        """Tell whether nothing is left to pass; looks one block ahead."""
        return not self.ahead_bytes() and not self._fill()

    def read_all(self, limit_bytes: int) -> bool:
        """Bring everything that is left to hand; False if that is more than `limit_bytes`."""
        while self.ahead_bytes() <= limit_bytes:
            if not self._fill():
                return True
        return False

    def take_sha256(self) -> str:
        """Hash what was passed since the last call (hex digest), and begin anew."""
        self._hash_passed()
        digest = self._sha256.hexdigest()
        self._sha256 = hashlib.sha256()
        return digest

    def _hash_passed(self) -> None:
        with memoryview(self._buffer) as view:
            self._sha256.update(view[self._hashed : self._offset])
        self._hashed = self._offset

    def _fill(self) -> bool:
        self._hash_passed()
        del self._buffer[: self._offset]
        self._offset = self._hashed = 0
        try:
            block = next(self._blocks, b"")
        except StreamBreakError as error:
            self.stream_break = str(error)
            block = b""
        self._buffer += block
        return bool(block)
