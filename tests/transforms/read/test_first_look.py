"""Inputs whose first records are all rejects are refused, with the option or the command that helps."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.first_look import MOST_REJECTS, require_documents


def look(paths: Sequence[Path], **options: object) -> None:
    config = AnnotateConfig(read=ReadConfig(**options))  # type: ignore[arg-type]
    require_documents(make_plan([str(path) for path in paths], config).shards, config.read)


def article(number: int) -> dict[str, object]:
    return {"article_id": number, "title": f"{number}번째 제목", "body": f"{number}번째 글의 본문이다. " * 3}


def test_a_wrong_field_of_json_lines_is_told_with_the_fields_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "news.jsonl.gz"
    lines = (json.dumps(article(number), ensure_ascii=False) for number in range(240))
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(ValueError, match="must give documents") as caught:
        look([path], input_format="jsonl", batch_bytes=1000)
    message = str(caught.value)
    total = int(message.split("got ")[1].split(maxsplit=1)[0])
    assert MOST_REJECTS <= total < 240, "it stops early"
    assert message == (
        f"The first records must give documents, got {total} rejects and no document from '{path}' on; {total} of "
        "them: missing field: `text`. The fields there are, the longest first: body, title, article_id. Name the "
        "text's: --text_field body."
    )
    look([path], input_format="jsonl", text_field="body")


def test_a_wrong_column_of_parquet_is_told_with_the_columns_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "news.parquet"
    pq.write_table(pa.Table.from_pylist([article(number) for number in range(3)]), path)
    message = (
        r"3 of them: missing field: `text`\. The fields there are, the longest first: body, title, article_id\. Name "
    )
    with pytest.raises(ValueError, match=message):
        look([path], input_format="parquet")


def test_an_object_on_several_lines_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pretty.jsonl"
    path.write_text(json.dumps(article(1), ensure_ascii=False, indent=1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"Check --input_format, or allow as many rejects with --max_rejects\.$"):
        look([path], input_format="jsonl")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("is_first", [True, False])
def test_utf16_is_refused_by_name(tmp_path: Path, encoding: str, is_first: bool) -> None:
    """Wherever it stands among the inputs, compressed too: its lines would be rows of zeros."""
    wide, plain = tmp_path / ("a.txt.gz" if is_first else "c.txt.gz"), tmp_path / "b.txt"
    wide.write_bytes(gzip.compress("글이다.\n둘째 줄.\n".encode(encoding)))
    plain.write_text("글이다.\n", encoding="utf-8")
    message = (
        rf"^An input must be UTF-8, got '{wide}', which begins with the byte order mark of UTF-16\. Convert it first: "
        r"iconv -f UTF-16 -t UTF-8\.$"
    )
    with pytest.raises(ValueError, match=message):
        look([wide, plain])


def test_cp949_is_told(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("오래된 글이다.\n둘째 줄이다.\n".encode("cp949"))
    message = r"The bytes can be read as CP949\. Convert the file first: iconv -f CP949 -t UTF-8\.$"
    with pytest.raises(ValueError, match=message):
        look([path])


@pytest.mark.parametrize("content", ["", "\n\n", " \n글이다.\n", "\ufeff글이다.\n"])
def test_blank_records_and_documents_pass(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(content, encoding="utf-8")
    look([path])


def test_rejects_before_the_first_document_pass_while_they_are_few(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("broken\n" * 50 + '{"text": "글이다."}\n', encoding="utf-8")
    look([path], input_format="jsonl")
    path.write_text("broken\n" * 5000 + '{"text": "글이다."}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="must give documents"):
        look([path], input_format="jsonl", batch_bytes=1000)
