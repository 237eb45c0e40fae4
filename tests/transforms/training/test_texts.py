"""Texts of files, plain or compressed, to make vocabularies of."""

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from klue_beam.schemas.config import ReadConfig
from klue_beam.transforms.training.texts import read_texts

TEXTS = ["눈이 왔다.", "강이 얼었다. 배가 멎었다.", "봄이 온다."]


@pytest.mark.parametrize(("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_lines_and_json_lines_are_read(suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Each line with text is one, each record's field is one, in their order."""
    lines, records = tmp_path / f"a.txt{suffix}", tmp_path / f"b.jsonl{suffix}"
    lines.write_bytes(compress("\n\n".join(TEXTS).encode()))
    records.write_bytes(compress("\n".join(json.dumps({"body": text}) for text in TEXTS).encode()))
    assert read_texts([str(lines)], ReadConfig(input_format="text")) == TEXTS
    assert read_texts([str(records)], ReadConfig(input_format="jsonl", text_field="body")) == TEXTS


def test_several_files_and_shards_are_read_in_order(tmp_path: Path) -> None:
    """Files of a folder by name, and a file of many shards from its first text to its last."""
    many = [f"{number}번째 줄이다." for number in range(500)]
    (tmp_path / "b.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    (tmp_path / "a.txt").write_text("\n".join(many), encoding="utf-8")
    assert read_texts([str(tmp_path)], ReadConfig(shard_bytes=1000)) == [*many, *TEXTS]


def test_what_gives_no_text_is_refused(tmp_path: Path) -> None:
    """A record without a text, a broken file and a path to nothing are named."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "봄이 온다."}\n{"body": "눈"}\n', encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"must give a text, got at record 1 of '.*a\.jsonl': missing field: `text`\. Mend the file"
    ):
        read_texts([str(path)], ReadConfig(input_format="jsonl"))
    cut = tmp_path / "b.txt.xz"
    cut.write_bytes(lzma.compress("\n".join(TEXTS * 100).encode())[:-20])
    with pytest.raises(ValueError, match=r"must give a text, got at the end of '.*b\.txt\.xz': broken stream: .* Mend"):
        read_texts([str(cut)], ReadConfig())
    with pytest.raises(ValueError, match=r"Each input must match at least one file, got '.*none\.txt' with none"):
        read_texts([str(tmp_path / "none.txt")], ReadConfig())
