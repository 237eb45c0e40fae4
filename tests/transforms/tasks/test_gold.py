"""What all readers of labelled files share: places in messages, compression, seeded splits; the official files."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from klue_beam.schemas.labels import DEPRELS, ENTITY_TYPES, RELATIONS, TOPICS
from klue_beam.transforms.tasks.classification.gold import LabelledText, read_labelled_texts
from klue_beam.transforms.tasks.dependency import TASK as DEPENDENCY
from klue_beam.transforms.tasks.dependency.gold import DependencyExample, read_dependencies
from klue_beam.transforms.tasks.entity.gold import NER_TAGS, EntityExample, read_entities
from klue_beam.transforms.tasks.gold import halve_examples, split_held_out
from klue_beam.transforms.tasks.relation.gold import read_relations

LINE = '{"text": "네", "label": "O"}\n'


def read(path: Path) -> list[LabelledText]:
    return read_labelled_texts(str(path), ("O", "X"))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LINE + '{"text": "네", "label": ', r"line 2: malformed JSON: Expecting value\. Correct the line\."),
        ("[" * 100_000, r"line 1: malformed JSON: it is nested too deeply\. Correct the line\."),
        ('{"text": "네", "label": ' + "9" * 5000 + "}", r"line 1: malformed JSON: Exceeds the limit"),
        ("[3]", r"row 1: a record must be a JSON object, got '3'\. Correct it, or remove it\."),
        (LINE + '{"text": "네"}\n', r"line 2: the field 'label' is missing, got text\. Add it\."),
        ('[{"text": 3, "label": "O"}]', r"row 1: `text` must be a string, got 3\. Correct it, or remove the record\."),
        (
            '{"text": "\\ud83d", "label": "O"}',
            r"line 1: `text` must be text that UTF-8 can hold, got a lone surrogate, '\\ud83d', at character 0\. ",
        ),
        ('{"text": "네", "label": "Y"}', r"line 1: `label` must be one of O, X, got 'Y'\. Correct it"),
        ("text;label\n", r"line 1: a file of labelled texts must be JSON, .* got 'text;label'\. Name the columns so\."),
        ('text,label\n"네,O\n', r"line 2: malformed CSV: unexpected end of data\. Correct its quotes\."),
        (b"text,label\n\xc2\xc2,O\n", r"line 2: a labelled file must be UTF-8, got b'\\xc2.*iconv -f CP949"),
    ],
)
def test_a_malformed_file_is_named_with_the_place(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"gold, {message}"):
        read(write(tmp_path / "gold", content))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress), (".zst", zstd.compress)],
)
def test_a_broken_compression_is_named(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    """A whole file is read; one that is cut, or is no such file at all, gives one message with what to do."""
    whole = compress(LINE.encode())
    assert len(read(write(tmp_path / f"whole{suffix}", whole))) == 1
    for content in (whole[:-3], LINE.encode()):
        with pytest.raises(ValueError, match=rf"gold{suffix} must be a whole file in the compression .* Fetch or"):
            read(write(tmp_path / f"gold{suffix}", content))


def test_lines_may_end_in_carriage_returns(tmp_path: Path) -> None:
    """Bare ones too: a file that some tool wrote so is not one long line, of which nothing is read."""
    for end in ("\n", "\r\n", "\r"):
        lines = ["## a\t네", "네\tB-PS", "", "## b\t아", "아\tO", ""]
        path = write(tmp_path / "ner.tsv", end.join(lines))
        assert read_entities(str(path)) == [EntityExample("a", "네", ("B-PS",)), EntityExample("b", "아", ("O",))]


def test_a_held_out_share_is_by_sentence() -> None:
    """Each sentence falls alike in any list and with any guid; about a fifth is held out."""
    examples = [DependencyExample(f"a-{n}", ("문장", f"{n}번."), (2, 0), ("NP", "VNP")) for n in range(1000)]
    train, held_out = split_held_out(examples, DEPENDENCY.held_out)
    assert sorted(train + held_out, key=examples.index) == examples
    assert 150 < len(held_out) < 250
    renamed = [DependencyExample(f"b-{e.guid}", e.forms, e.heads, e.deprels) for e in reversed(examples)]
    _, again = split_held_out(renamed, DEPENDENCY.held_out)
    assert {e.text for e in again} == {e.text for e in held_out}


def test_halves_are_by_text() -> None:
    """Two rows of one text fall into one half; each half is about half, and each row in one of them."""
    examples = [LabelledText(f"a-{n}", f"제목 {n % 500}", "경제") for n in range(1000)]
    first, second = halve_examples(examples)
    assert sorted(first + second, key=examples.index) == examples
    assert 400 < len(first) < 600
    assert not {example.text for example in first} & {example.text for example in second}


def test_the_official_files(shared_data: Path) -> None:
    """Every row of the corpora here is read, and its labels are the official ones."""
    klue = shared_data / "klue"
    topics = [read_labelled_texts(str(klue / name), TOPICS) for name in ("dev/ynat.json", "train/ynat.csv")]
    assert [len(rows) for rows in topics] == [4565, 36547]
    assert {row.label for rows in topics for row in rows} == set(TOPICS)
    relations = [read_relations(str(klue / name)) for name in ("dev/klue-re.json", "train/klue-re.jsonl.xz")]
    assert [len(rows) for rows in relations] == [3896, 32470]
    assert {row.label for rows in relations for row in rows} == set(RELATIONS)
    assert {mention.type for rows in relations for row in rows for mention in (row.subject, row.object)} <= set(
        ENTITY_TYPES
    )
    entities = [read_entities(str(klue / name)) for name in ("dev/klue-ner.tsv", "train/klue-ner.first5000.tsv.xz")]
    assert [len(rows) for rows in entities] == [2489, 5000]
    assert {tag for rows in entities for row in rows for tag in row.tags} == set(NER_TAGS)
    trees = read_dependencies(str(klue / "dev/klue-dp.tsv"))
    assert [len(part) for part in split_held_out(trees, DEPENDENCY.held_out)] == [1258, 323]
    assert {deprel for row in trees for deprel in row.deprels} <= set(DEPRELS)


def test_json_lines_of_a_users_own_are_read_back_whole(tmp_path: Path) -> None:
    """Blank lines between records do not count; a name that is given is kept, and else made."""
    records = [{"id": 7, "text": "네", "label": "O"}, {"text": "아", "label": "X"}]
    path = write(tmp_path / "own.jsonl", "\n\n".join(json.dumps(record) for record in records))
    assert read(path) == [LabelledText("7", "네", "O"), LabelledText("row-2", "아", "X")]
