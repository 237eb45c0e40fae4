"""Unpacking compressed streams so that every byte of the file is accounted for.

Each byte of a file is part of a stream, padding that the format allows, or the begin of a break. Python's own file
objects are not used for that reason: those of bz2 and lzma pass over whatever follows the first stream if it is no
stream, and that of gzip takes a member that was overwritten with zeros for padding.

References: RFC 1952 (gzip); https://tukaani.org/xz/xz-file-format.txt (streams, and padding in fours); RFC 8878
(Zstandard frames). bzip2 has no padding. Zero bytes behind the last gzip member are what tapes add; GNU gzip passes
over them, too, but not over zero bytes between two members.
"""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

PACKED_BLOCK_BYTES: Final = 256 * 1024
"""So much of a file is read at a time."""

_UNPACKING_ERRORS: Final = (EOFError, OSError, zlib.error, lzma.LZMAError, ZstdError)


class StreamBreakError(Exception):
    """A compressed stream is cut short, damaged, or not what its name says.

    Attributes:
      good_bytes: so many unpacked bytes, from the first one on, are good as far as the file can tell. Of a file that is
        cut short that is all that was unpacked; damage that makes a part run on to the file's end looks the same. Of
        one that is damaged it is what its whole parts hold, whose checksums held (a Zstandard frame may have none),
        since the damage can lie anywhere in the part that fails.
    """

    def __init__(self, reason: str, good_bytes: int = 0) -> None:
        super().__init__(reason)
        self.good_bytes = good_bytes


class PackedFile(Protocol):
    """What is unpacked: a binary file open for reading."""

    def read(self, n_bytes: int, /) -> bytes:
        """Give up to `n_bytes`, none at the end."""
        ...


class _Decompressor(Protocol):
    """What bz2, lzma and zstd have: one object a stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _GzipMember:
    """A gzip member, in the form of the other decompressors."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, max(0, max_length))


class Packing(NamedTuple):
    """A way of compressing.

    Attributes:
      name: as messages call it.
      part: what a file is a row of, as messages call it.
      make: gives a decompressor for one part.
      padding_bytes: zero bytes may stand between and behind parts, in multiples of so many; 0 for none.
      pads_inside: whether another part may follow padding.
    """

    name: str
    part: str
    make: Callable[[], _Decompressor]
    padding_bytes: int
    pads_inside: bool


PACKINGS: Final = {
    ".gz": Packing("gzip", "member", _GzipMember, 1, pads_inside=False),
    ".bz2": Packing("bzip2", "stream", bz2.BZ2Decompressor, 0, pads_inside=False),
    ".xz": Packing("xz", "stream", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), 4, pads_inside=True),
    ".zst": Packing("Zstandard", "frame", ZstdDecompressor, 0, pads_inside=False),
}
"""By the suffix of a file's name, in lower case."""


def unpack_blocks(file: PackedFile, packing: Packing, block_bytes: int) -> Iterator[bytes]:
    """Unpack a file from its first byte to its last.

    Args:
      file: the packed file, at its begin.
      packing: one of PACKINGS.
      block_bytes: largest block given, so a small file that unpacks to a large one is harmless.

    Yields:
      What the file unpacks to, in order.

    Raises:
      StreamBreakError: where the file breaks, after everything that could be unpacked before was given.
      OSError: if the file cannot be read.
    """
    return _Unpacker(file, packing, block_bytes).blocks()


class _Unpacker:
    """The state of one pass over a file."""

    def __init__(self, file: PackedFile, packing: Packing, block_bytes: int) -> None:
        self._file, self._packing, self._block_bytes = file, packing, block_bytes
        self._ahead = b""  # read from the file and not passed
        self._position = 0  # of `_ahead` in the file
        self._given_bytes = 0
        self._whole_bytes = 0  # what the parts that ended well hold

    def blocks(self) -> Iterator[bytes]:
        if not self._fill():
            raise self._break(f"the file is empty, and {self._packing.name} has at least one {self._packing.part}")
        while self._ahead:
            yield from self._part_blocks()
            self._whole_bytes = self._given_bytes
            self._pass_padding()

    def _fill(self) -> bool:
        """Have something ahead, unless the file ends.

        Blocks are full ones, whatever the file gives at a time: what can be unpacked before damage depends on them.
        """
        if not self._ahead:
            parts, missing_bytes = [], PACKED_BLOCK_BYTES
            while missing_bytes and (part := self._file.read(missing_bytes)):
                parts.append(part)
                missing_bytes -= len(part)
            self._ahead = b"".join(parts)
        return bool(self._ahead)

    def _part_blocks(self) -> Iterator[bytes]:
        decompressor, begin = self._packing.make(), self._position
        while not decompressor.eof:
            data = b""
            if decompressor.needs_input:
                if not self._fill():
                    reason = f"the file ends within the {self._packing.part} that begins at byte {begin}"
                    raise StreamBreakError(reason, self._given_bytes)
                data, self._ahead = self._ahead, b""
                self._position += len(data)
            try:
                block = decompressor.decompress(data, self._block_bytes)
            except _UNPACKING_ERRORS as error:
                place = f"the {self._packing.part} that begins at byte {begin} is damaged or none"
                raise self._break(f"{place}: {error}") from error
            self._given_bytes += len(block)
            if block:
                yield block
        self._ahead = decompressor.unused_data + self._ahead
        self._position -= len(decompressor.unused_data)

    def _pass_padding(self) -> None:
        """Pass the zero bytes that may stand here; what follows must be another part or the end."""
        begin = self._position
        while self._fill():
            rest = self._ahead.lstrip(b"\0") if self._packing.padding_bytes else self._ahead
            self._position += len(self._ahead) - len(rest)
            self._ahead = rest
            if rest:
                break
        passed = self._position - begin
        if passed and passed % self._packing.padding_bytes:
            raise self._break(
                f"{passed} zero bytes stand at byte {begin}, and {self._packing.name} pads in multiples of "
                f"{self._packing.padding_bytes}"
            )
        if passed and self._ahead and not self._packing.pads_inside:
            raise self._break(
                f"{passed} zero bytes stand at byte {begin}, and {self._packing.name} has none between two "
                f"{self._packing.part}s"
            )

    def _break(self, reason: str) -> StreamBreakError:
        return StreamBreakError(reason, self._whole_bytes)
