"""Readers of the official KLUE formats: what they give, and what they say of a malformed file."""

import bz2
import gzip
import json
import lzma

import pytest

from klue_beam.schemas.labels import DEPRELS, ENTITY_TYPES, RELATIONS, TOPICS
from klue_beam.transforms.tasks.gold import (
    NER_TAGS,
    DependencyExample,
    EntityExample,
    Mention,
    RelationExample,
    TopicExample,
    halve_examples,
    mentions_of_tags,
    read_dp,
    read_ner,
    read_re,
    read_tc,
    split_dependency_examples,
)

RELATION = {
    "guid": "re-1",
    "sentence": "박하늘은 2011년 푸른들연구소를 세웠다.",
    "subject_entity": {"word": "푸른들연구소", "start_idx": 11, "end_idx": 16, "type": "ORG"},
    "object_entity": {"word": "박하늘", "start_idx": 0, "end_idx": 2, "type": "PER"},
    "label": "org:founded_by",
    "source": "made up",
}

NER = "## ner-1\t<순이:PS>는 갔다\n순\tB-PS\n이\tI-PS\n는\tO\n \tO\n갔\tO\n다\tO\n\n## ner-2\t#\n#\tO\n"

DP = (
    "## dp-1\t순이는 일찍 갔다.\n"
    "1\t순이는\t순이 는\tNNP+JX\t3\tNP_SBJ\n"
    "2\t일찍\t일찍\tMAG\t3\tAP\n"
    "3\t갔다.\t가 았 다 .\tVV+EP+EF+SF\t0\tVP\n"
    "\n"
)


def write(path, text):
    path.write_bytes(text.encode())
    return str(path)


def test_tc_json(tmp_path):
    """The official JSON list gives guid, title and label."""
    rows = [{"guid": "ynat-1", "title": "달 탐사선 발사 성공", "label": "IT과학", "url": "…", "date": "2020"}]
    path = write(tmp_path / "ynat.json", json.dumps(rows, ensure_ascii=False))
    assert read_tc(path) == [TopicExample("ynat-1", "달 탐사선 발사 성공", "IT과학")]


def test_tc_csv(tmp_path):
    """The index is the guid; quoted commas and line breaks belong to the title; a byte order mark is skipped."""
    path = write(tmp_path / "ynat.csv", '\ufeffindex,title,topic_idx,label\n7,"금리, 또\n올라",1,경제\n')
    assert read_tc(path) == [TopicExample("7", "금리, 또\n올라", "경제")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,headline\n1,제목\n", r"line 1: .* CSV with the columns `title` and `label`"),
        ("title,label\n제목,연예\n", r"line 2: `label` must be one of IT과학, .*, got '연예'"),
        ('title,label\n"제목,연예\n', r"line 2: malformed CSV"),
        ('[{"title": "제목"}]', r"row 1: the field 'label' is missing"),
        ('[{"title": 3, "label": "경제"}]', r"row 1: `title` must be a string, got 3"),
        ("[3]", r"row 1: a record must be a JSON object, got '3'"),
        ('[\n{"title": }\n]', r"line 2: malformed JSON"),
    ],
)
def test_malformed_tc(tmp_path, text, message):
    """A malformed row is named by path and place."""
    with pytest.raises(ValueError, match=rf"ynat, {message}"):
        read_tc(write(tmp_path / "ynat", text))


def test_text_must_be_utf8(tmp_path):
    """Bytes that are no UTF-8 are refused with their line."""
    path = tmp_path / "broken.tsv"
    path.write_bytes(b"a\tO\n\xff\tO\n")
    with pytest.raises(ValueError, match=r"broken.tsv, line 2: a KLUE file must be UTF-8, got b'\\xff"):
        read_ner(str(path))


@pytest.mark.parametrize("as_list", [True, False])
def test_re(tmp_path, as_list):
    """JSON list and JSON lines give half-open spans and KLUE-NER's type names."""
    text = json.dumps([RELATION] if as_list else RELATION, ensure_ascii=False) + "\n"
    expected = RelationExample(
        "re-1", RELATION["sentence"], Mention(11, 17, "OG"), Mention(0, 3, "PS"), "org:founded_by"
    )
    assert read_re(write(tmp_path / "re", text)) == [expected]
    assert expected.text[11:17] == "푸른들연구소"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"object_entity": {"word": "박하늘", "start_idx": 1, "end_idx": 3, "type": "PER"}},
            "`object_entity` must be what stands at its place, got '박하늘' where the text has '하늘은'",
        ),
        (
            {"object_entity": {"word": "박하늘", "start_idx": 0, "end_idx": 2, "type": "MAN"}},
            "`object_entity.type` must be one of PER, LOC, ORG, DAT, POH, NOH, got 'MAN'",
        ),
        ({"subject_entity": {"word": "박하늘"}}, "the field 'start_idx' is missing"),
        ({"label": "per:boss"}, "`label` must be one of no_relation, .*, got 'per:boss'"),
        ({"sentence": None}, "`sentence` must be a string, got None"),
    ],
)
def test_malformed_re(tmp_path, change, message):
    """A wrong span, type or label is named by path and line."""
    text = json.dumps(RELATION) + "\n" + json.dumps(RELATION | change) + "\n"
    with pytest.raises(ValueError, match=f"re.jsonl, line 2: {message}"):
        read_re(write(tmp_path / "re.jsonl", text))


def test_malformed_json_line(tmp_path):
    """A cut line is named."""
    with pytest.raises(ValueError, match=r"re.jsonl, line 3: malformed JSON"):
        read_re(write(tmp_path / "re.jsonl", json.dumps(RELATION) + '\n\n{"guid": '))


@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_ner(tmp_path, suffix, compress):
    """Characters and tags, spaces and # among them; guids from the lines before; plain or compressed."""
    path = tmp_path / f"ner.tsv{suffix}"
    path.write_bytes(compress(NER.encode()))
    assert read_ner(str(path)) == [
        EntityExample("ner-1", "순이는 갔다", ("B-PS", "I-PS", "O", "O", "O", "O")),
        EntityExample("ner-2", "#", ("O",)),
    ]


def test_ner_without_guid_and_with_a_preamble(tmp_path):
    """Comment lines ahead are no guid of a sentence after a blank line; CRLF is fine."""
    path = write(tmp_path / "ner.tsv", "## 설명 : \\t\r\n\r\n가\tO\r\n\r\n## b\t나\r\n나\tB-PS\r\n")
    assert [(example.guid, example.text) for example in read_ner(path)] == [("sentence-0", "가"), ("b", "나")]


@pytest.mark.parametrize("line", ["가\tB-XX", "가나\tO", "가", "가\tO\tO", "\tO"])
def test_malformed_ner(tmp_path, line):
    """A line that is no character and tag is named."""
    with pytest.raises(ValueError, match=r"ner.tsv, line 3: a KLUE-NER line must be one character, a tab and a tag"):
        read_ner(write(tmp_path / "ner.tsv", f"## a\t나\n나\tO\n{line}\n"))


def test_dp(tmp_path):
    """Forms, heads and deprels; the text is the forms joined by one space."""
    (example,) = read_dp(write(tmp_path / "dp.tsv", DP))
    assert example == DependencyExample("dp-1", ("순이는", "일찍", "갔다."), (3, 3, 0), ("NP_SBJ", "AP", "VP"))
    assert example.text == "순이는 일찍 갔다."


@pytest.mark.parametrize(
    "line",
    [
        "1\t일찍\t일찍\tMAG\t3\tAP",
        "2\t일찍\t일찍\tMAG\t4\tAP",
        "2\t일찍\t일찍\tMAG\t-1\tAP",
        "2\t일찍\t일찍\tMAG\t3",
        "2\t일찍\t일찍\tMAG\t3\t",
        "2\t\t일찍\tMAG\t3\tAP",
    ],
)
def test_malformed_dp(tmp_path, line):
    """A wrong index, head or number of columns is named."""
    lines = DP.split("\n")
    text = "\n".join([*lines[:2], line, *lines[3:]])
    with pytest.raises(ValueError, match=r"dp.tsv, line 3: a KLUE-DP line must be index \(from 1\), form, lemma"):
        read_dp(write(tmp_path / "dp.tsv", text))


def test_mentions_are_strict_iob2():
    """An I- without its B- is no entity; another type, O or an unknown character ends one."""
    tags = ["I-PS", "B-PS", "I-PS", "I-LC", "B-LC", "B-LC", "I-LC", None, "I-LC", "B-QT"]
    assert mentions_of_tags(tags) == [
        Mention(1, 3, "PS"),
        Mention(4, 5, "LC"),
        Mention(5, 7, "LC"),
        Mention(9, 10, "QT"),
    ]


def test_the_split_is_by_sentence():
    """Each sentence falls alike in any list and with any guid; about a fifth is held out."""
    examples = [DependencyExample(f"a-{n}", ("문장", f"{n}번."), (2, 0), ("NP", "VNP")) for n in range(1000)]
    train, held_out = split_dependency_examples(examples)
    assert sorted(train + held_out, key=examples.index) == examples
    assert 150 < len(held_out) < 250
    renamed = [DependencyExample(f"b-{e.guid}", e.forms, e.heads, e.deprels) for e in reversed(examples)]
    assert {e.text for e in split_dependency_examples(renamed)[1]} == {e.text for e in held_out}


def test_halves_are_by_text():
    """Two rows of one text fall into one half; each half is about half, and each row in one of them."""
    examples = [TopicExample(f"a-{n}", f"제목 {n % 500}", "경제") for n in range(1000)]
    first, second = halve_examples(examples)
    assert sorted(first + second, key=examples.index) == examples
    assert 400 < len(first) < 600
    assert not {example.text for example in first} & {example.text for example in second}


def test_the_official_files(shared_data):
    """Every row of the corpora here is read, and its labels are the official ones."""
    klue = shared_data / "klue"
    topics = [read_tc(str(klue / name)) for name in ("dev/ynat.json", "train/ynat.csv")]
    assert [len(rows) for rows in topics] == [4565, 36547]
    assert {row.label for rows in topics for row in rows} == set(TOPICS)
    relations = [read_re(str(klue / name)) for name in ("dev/klue-re.json", "train/klue-re.jsonl.xz")]
    assert [len(rows) for rows in relations] == [3896, 32470]
    assert {row.label for rows in relations for row in rows} == set(RELATIONS)
    assert {mention.type for rows in relations for row in rows for mention in (row.subject, row.object)} <= set(
        ENTITY_TYPES
    )
    entities = [read_ner(str(klue / name)) for name in ("dev/klue-ner.tsv", "train/klue-ner.first5000.tsv.xz")]
    assert [len(rows) for rows in entities] == [2489, 5000]
    assert {tag for rows in entities for row in rows for tag in row.tags} == set(NER_TAGS)
    trees = read_dp(str(klue / "dev/klue-dp.tsv"))
    assert [len(part) for part in split_dependency_examples(trees)] == [1258, 323]
    assert {deprel for row in trees for deprel in row.deprels} <= set(DEPRELS)
