"""Each byte of a compressed file is a part, padding that the format allows, or the begin of a break."""

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.transforms.formats.unpacking import PACKINGS, StreamBreakError, unpack_blocks

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
TOOLS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
SUFFIXES = tuple(PACKINGS)
FIRST, SECOND, THIRD = (f"{number}번째 부분이다.\n".encode() * 400 for number in ("첫", "두", "세"))
SKIPPABLE_FRAME = bytes.fromhex("502a4d18") + (3).to_bytes(4, "little") + b"abc"


def unpack(suffix: str, packed: bytes, block_bytes: int = 1000) -> tuple[bytes, StreamBreakError | None]:
    """What a file unpacks to, and the break that it ends with."""
    data = b""
    try:
        for block in unpack_blocks(io.BytesIO(packed), PACKINGS[suffix], block_bytes):
            assert 0 < len(block) <= block_bytes
            data += block
    except StreamBreakError as error:
        return data, error
    return data, None


def unpack_by_tool(suffix: str, packed: bytes) -> tuple[bytes, bool]:
    """What the system's tool unpacks, and whether it is content."""
    tool = shutil.which(TOOLS[suffix])
    if tool is None:
        pytest.skip(f"{TOOLS[suffix]} is not on PATH")
    done = subprocess.run([tool, "-dc"], input=packed, capture_output=True, check=False)
    return done.stdout, done.returncode == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("data", [b"", b"x", FIRST, FIRST + SECOND])
def test_one_part_gives_what_was_packed(suffix: str, data: bytes) -> None:
    assert unpack(suffix, PACK[suffix](data)) == (data, None)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=25)
@given(parts=st.lists(st.binary(max_size=200), min_size=1, max_size=4), block_bytes=st.integers(1, 100))
def test_parts_one_after_another_are_joined(suffix: str, parts: list[bytes], block_bytes: int) -> None:
    packed = b"".join(PACK[suffix](part) for part in parts)
    assert unpack(suffix, packed, block_bytes) == (b"".join(parts), None)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_changed_byte_is_a_break_or_changes_nothing(suffix: str, data: st.DataObject) -> None:
    """Some bytes of a header say nothing of the content (a time, a name, the operating system)."""
    packed = bytearray(b"".join(PACK[suffix](part) for part in (FIRST, SECOND, THIRD)))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    found, stream_break = unpack(suffix, bytes(packed))
    assert stream_break is not None or found == FIRST + SECOND + THIRD
    # Damage can make a part run on to the file's end, and then nothing tells it from a file that is cut short.
    if stream_break is not None and "the file ends within" not in str(stream_break):
        good = stream_break.good_bytes
        assert found[:good] == (FIRST + SECOND + THIRD)[:good]


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_file_cut_short_is_a_break(suffix: str, data: st.DataObject) -> None:
    parts = [PACK[suffix](part) for part in (FIRST, SECOND)]
    packed = b"".join(parts)
    length = data.draw(st.integers(0, len(packed) - 1))
    found, stream_break = unpack(suffix, packed[:length])
    if length == len(parts[0]):
        assert (found, stream_break) == (FIRST, None)
        return
    assert stream_break is not None
    assert stream_break.good_bytes == len(found)
    assert (FIRST + SECOND).startswith(found)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("gap", [b"\0", b"\0" * 4, b"\0" * 6, b"\0" * 4096, b"garbage", b"\0" * 4 + b"garbage"])
@pytest.mark.parametrize("behind", [True, False], ids=["behind", "between"])
def test_what_the_tool_takes_amiss_is_a_break(suffix: str, gap: bytes, behind: bool) -> None:
    """The system's tools agree on each gap, but for the end of a bzip2 file, where bzip2 only warns of what follows."""
    packed = PACK[suffix](FIRST) + (PACK[suffix](SECOND) + gap if behind else gap + PACK[suffix](SECOND))
    found, stream_break = unpack(suffix, packed)
    by_tool, is_content = unpack_by_tool(suffix, packed)
    if suffix == ".bz2":
        is_content = False
    assert (stream_break is None) == is_content
    if is_content:
        assert found == by_tool
    else:
        assert stream_break is not None
        assert stream_break.good_bytes == len(found) == len(FIRST) * (2 if behind else 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_part_whose_magic_is_damaged_is_a_break(suffix: str) -> None:
    second = bytearray(PACK[suffix](SECOND))
    second[1] ^= 4
    found, stream_break = unpack(suffix, PACK[suffix](FIRST) + bytes(second) + PACK[suffix](THIRD))
    assert found == FIRST
    place = f"the {PACKINGS[suffix].part} that begins at byte {len(PACK[suffix](FIRST))} is damaged or none: "
    assert str(stream_break).startswith(place)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_a_part_of_zeros_is_a_break(suffix: str) -> None:
    """Of xz it is padding that the format allows, and no reader can tell it from that."""
    packed = PACK[suffix](FIRST) + b"\0" * len(PACK[suffix](SECOND)) + PACK[suffix](THIRD)
    found, stream_break = unpack(suffix, packed)
    assert (found, stream_break is None) == (FIRST, False)


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".gz", "the file is empty, and gzip has at least one member"),
        (".bz2", "the file is empty, and bzip2 has at least one stream"),
        (".xz", "the file is empty, and xz has at least one stream"),
        (".zst", "the file is empty, and Zstandard has at least one frame"),
    ],
)
def test_an_empty_file_is_a_break(suffix: str, message: str) -> None:
    found, stream_break = unpack(suffix, b"")
    assert (found, str(stream_break)) == (b"", message)


def test_messages_name_the_place() -> None:
    packed = PACK[".xz"](FIRST)
    assert str(unpack(".xz", packed[:-3])[1]) == "the file ends within the stream that begins at byte 0"
    padded = packed + b"\0" * 3 + packed
    expected = f"3 zero bytes stand at byte {len(packed)}, and xz pads in multiples of 4"
    assert str(unpack(".xz", padded)[1]) == expected
    zeroed = PACK[".gz"](FIRST) + b"\0" * 8 + PACK[".gz"](FIRST)
    expected = f"8 zero bytes stand at byte {len(PACK['.gz'](FIRST))}, and gzip has none between two members"
    assert str(unpack(".gz", zeroed)[1]) == expected


def test_frames_that_hold_no_data_are_passed() -> None:
    frame = PACK[".zst"](FIRST)
    for packed in (SKIPPABLE_FRAME + frame, frame + SKIPPABLE_FRAME, SKIPPABLE_FRAME + frame + SKIPPABLE_FRAME):
        assert unpack(".zst", packed) == (FIRST, None)


def test_a_small_file_that_unpacks_to_a_large_one_comes_in_blocks() -> None:
    packed = PACK[".xz"](b"\0" * 20_000_000)
    blocks = unpack_blocks(io.BytesIO(packed), PACKINGS[".xz"], 1 << 20)
    assert sum(len(block) for block in blocks if len(block) <= 1 << 20) == 20_000_000


class Trickle(io.BytesIO):
    """A file that gives less than it is asked for, as a network does."""

    def read(self, n_bytes: int | None = -1, /) -> bytes:
        return super().read(min(n_bytes or 1, 7))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_given_before_damage_does_not_hang_on_how_the_file_is_read(suffix: str) -> None:
    packed = bytearray(PACK[suffix](FIRST + SECOND) + PACK[suffix](THIRD))
    packed[-6] ^= 1

    def collect(file: io.BytesIO) -> tuple[bytes, str]:
        data = b""
        try:
            for block in unpack_blocks(file, PACKINGS[suffix], 1000):
                data += block
        except StreamBreakError as error:
            return data, str(error)
        return data, ""

    assert collect(Trickle(packed)) == collect(io.BytesIO(packed))
