"""The labelled files of each task: KLUE's own formats and those of a user's own, and what is said of a wrong line."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from klue_beam.schemas.labels import TOPICS
from klue_beam.transforms.tasks.classification.gold import LabelledText, read_labelled_texts
from klue_beam.transforms.tasks.dependency.gold import DependencyExample, read_dependencies
from klue_beam.transforms.tasks.entity.gold import EntityExample, Mention, mentions_of_tags, read_entities
from klue_beam.transforms.tasks.relation.gold import RelationExample, read_relations

RELATION = {
    "guid": "re-1",
    "sentence": "박하늘은 2011년 푸른들연구소를 세웠다.",
    "subject_entity": {"word": "푸른들연구소", "start_idx": 11, "end_idx": 16, "type": "ORG"},
    "object_entity": {"word": "박하늘", "start_idx": 0, "end_idx": 2, "type": "PER"},
    "label": "org:founded_by",
    "source": "made up",
}
OWN_RELATION = {
    "id": "re-1",
    "text": RELATION["sentence"],
    "subject": {"begin": 11, "end": 17, "label": "OG", "text": "푸른들연구소"},
    "object": {"begin": 0, "end": 3, "label": "PS"},
    "label": "org:founded_by",
}

NER = "## ner-1\t<순이:PS>는 갔다\n순\tB-PS\n이\tI-PS\n는\tO\n \tO\n갔\tO\n다\tO\n\n## ner-2\t#\n#\tO\n"

DP = (
    "## dp-1\t순이는 일찍 갔다.\n"
    "1\t순이는\t순이 는\tNNP+JX\t3\tNP_SBJ\n"
    "2\t일찍\t일찍\tMAG\t3\tAP\n"
    "3\t갔다.\t가 았 다 .\tVV+EP+EF+SF\t0\tVP\n"
    "\n"
)
CONLLU = (
    "# sent_id = dp-1\n# text = 순이는 일찍 갔다.\n"
    "1\t순이는\t순이 는\tNOUN\t_\t_\t3\tNP_SBJ\t_\t_\n"
    "2\t일찍\t일찍\tADV\t_\t_\t3\tAP\t_\t_\n"
    "3\t갔다.\t가 았 다 .\tVERB\t_\t_\t0\tVP\t_\tSpaceAfter=No\n"
    "\n"
)
TREE = DependencyExample("dp-1", ("순이는", "일찍", "갔다."), (3, 3, 0), ("NP_SBJ", "AP", "VP"))


def write(path: Path, text: str) -> str:
    path.write_bytes(text.encode())
    return str(path)


def test_tc_json(tmp_path: Path) -> None:
    """The official JSON list gives guid, title and label."""
    rows = [{"guid": "ynat-1", "title": "달 탐사선 발사 성공", "label": "IT과학", "url": "…", "date": "2020"}]
    path = write(tmp_path / "ynat.json", json.dumps(rows, ensure_ascii=False))
    assert read_labelled_texts(path, TOPICS) == [LabelledText("ynat-1", "달 탐사선 발사 성공", "IT과학")]


def test_tc_csv(tmp_path: Path) -> None:
    """The index is the guid; quoted commas and line breaks belong to the title; a byte order mark is skipped."""
    path = write(tmp_path / "ynat.csv", '\ufeffindex,title,topic_idx,label\n7,"금리, 또\n올라",1,경제\n')
    assert read_labelled_texts(path, TOPICS) == [LabelledText("7", "금리, 또\n올라", "경제")]
    path = write(tmp_path / "own.csv", "text,label\n금리 올라,경제\n")
    assert read_labelled_texts(path, TOPICS) == [LabelledText("row-1", "금리 올라", "경제")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title,label\n제목,연예\n", r"line 2: `label` must be one of IT과학, .*, got '연예'"),
        ('title,label\n"제목,연예\n', r"line 2: malformed CSV"),
        ('[{"title": "제목"}]', r"row 1: the field 'label' is missing, got title"),
        ('[{"title": 3, "label": "경제"}]', r"row 1: `title` must be a string, got 3"),
        ('[\n{"title": }\n]', r"line 2: malformed JSON"),
    ],
)
def test_malformed_tc(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"ynat, {message}"):
        read_labelled_texts(write(tmp_path / "ynat", text), TOPICS)


@pytest.mark.parametrize("record", [RELATION, OWN_RELATION])
@pytest.mark.parametrize("as_list", [True, False])
def test_re(tmp_path: Path, record: dict[str, Any], as_list: bool) -> None:
    """A JSON list and JSON lines, KLUE's records and a user's own, give half-open spans and KLUE-NER's type names."""
    text = json.dumps([record] if as_list else record, ensure_ascii=False) + "\n"
    expected = RelationExample(
        "re-1", str(RELATION["sentence"]), Mention(11, 17, "OG"), Mention(0, 3, "PS"), "org:founded_by"
    )
    assert read_relations(write(tmp_path / "re", text)) == [expected]
    assert expected.text[11:17] == "푸른들연구소"


@pytest.mark.parametrize(
    ("record", "change", "message"),
    [
        (
            RELATION,
            {"object_entity": {"word": "박하늘", "start_idx": 1, "end_idx": 3, "type": "PER"}},
            "`object_entity` must be what stands at its place, got '박하늘' where the text has '하늘은'",
        ),
        (
            RELATION,
            {"object_entity": {"word": "박하늘", "start_idx": 0, "end_idx": 2, "type": "MAN"}},
            "`object_entity.type` must be one of PER, LOC, ORG, DAT, POH, NOH, got 'MAN'",
        ),
        (RELATION, {"subject_entity": {"word": "박하늘"}}, "the field 'start_idx' is missing"),
        (RELATION, {"subject_entity": 3}, "`subject_entity` must be a JSON object, got 3"),
        (RELATION, {"label": "per:boss"}, "`label` must be one of no_relation, .*, got 'per:boss'"),
        (RELATION, {"sentence": None}, "`sentence` must be a string, got None"),
        (
            OWN_RELATION,
            {"subject": "순이"},
            "`subject` must be a JSON object with `begin`, `end` and `label`, got '순이'",
        ),
        (
            OWN_RELATION,
            {"subject": {"begin": 11, "end": 99, "label": "OG"}},
            "`subject` must be a span of the text's 23 characters, `begin` before `end`, got 11 to 99",
        ),
        (OWN_RELATION, {"object": {"begin": 0, "end": True}}, "`end` must be a whole number, got True"),
        (
            OWN_RELATION,
            {"object": {"begin": 0, "end": 3, "label": "PER"}},
            "`label` must be one of PS, LC, OG, DT, TI, QT, POH, NOH, got 'PER'",
        ),
        (
            OWN_RELATION,
            {"object": {"begin": 0, "end": 3, "label": "PS", "text": "하늘"}},
            "`object` must be what stands at its place, got '하늘' where the text has '박하늘'",
        ),
    ],
)
def test_malformed_re(tmp_path: Path, record: dict[str, Any], change: dict[str, Any], message: str) -> None:
    """A wrong span, type or label is named by path and line."""
    text = json.dumps(record) + "\n" + json.dumps(record | change) + "\n"
    with pytest.raises(ValueError, match=f"re.jsonl, line 2: {message}"):
        read_relations(write(tmp_path / "re.jsonl", text))


@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_ner(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    """Characters and tags, spaces and # among them; guids from the lines before; plain or compressed."""
    path = tmp_path / f"ner.tsv{suffix}"
    path.write_bytes(compress(NER.encode()))
    assert read_entities(str(path)) == [
        EntityExample("ner-1", "순이는 갔다", ("B-PS", "I-PS", "O", "O", "O", "O")),
        EntityExample("ner-2", "#", ("O",)),
    ]


def test_ner_json_lines(tmp_path: Path) -> None:
    """Spans become tags: the same as those of KLUE's own format."""
    records = [
        {"guid": "ner-1", "text": "순이는 갔다", "entities": [{"begin": 0, "end": 2, "label": "PS", "text": "순이"}]},
        {"guid": "ner-2", "text": "#", "entities": []},
    ]
    path = write(tmp_path / "ner.jsonl", "\n".join(json.dumps(record) for record in records))
    assert read_entities(path) == read_entities(write(tmp_path / "ner.tsv", NER))


def test_a_sentence_may_begin_with_a_bracket(tmp_path: Path) -> None:
    """It is no JSON: a tab stands behind it."""
    (example,) = read_entities(write(tmp_path / "ner.tsv", "[\tO\n가\tB-PS\n]\tO\n"))
    assert example.text == "[가]"


def test_ner_without_guid_and_with_a_preamble(tmp_path: Path) -> None:
    """Comment lines ahead are no guid of a sentence after a blank line; CRLF is fine."""
    path = write(tmp_path / "ner.tsv", "## 설명 : \\t\r\n\r\n가\tO\r\n\r\n## b\t나\r\n나\tB-PS\r\n")
    assert [(example.guid, example.text) for example in read_entities(path)] == [("sentence-0", "가"), ("b", "나")]


@pytest.mark.parametrize("line", ["가\tB-XX", "가나\tO", "가", "가\tO\tO", "\tO"])
def test_malformed_ner(tmp_path: Path, line: str) -> None:
    """A line that is no character and tag is named."""
    with pytest.raises(ValueError, match=r"ner.tsv, line 3: a KLUE-NER line must be one character, a tab and a tag"):
        read_entities(write(tmp_path / "ner.tsv", f"## a\t나\n나\tO\n{line}\n"))


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ("PS", r"`entities` must be a JSON list, got 'PS'"),
        ([3], r"`entities\[0\]` must be a JSON object with `begin`, `end` and `label`, got 3"),
        (
            [{"begin": 0, "end": 2, "label": "PS"}, {"begin": 1, "end": 3, "label": "LC"}],
            r"`entities\[1\]` must not share a character with an entity before it, got \(1, 3\)",
        ),
        ([{"begin": 2, "end": 2, "label": "PS"}], r"`entities\[0\]` must be a span of the text's 6 characters"),
        ([{"begin": 0, "end": 2, "label": "POH"}], r"`label` must be one of PS, LC, OG, DT, TI, QT, got 'POH'"),
    ],
)
def test_malformed_ner_json(tmp_path: Path, entities: Any, message: str) -> None:
    path = write(tmp_path / "ner.jsonl", json.dumps({"text": "순이는 갔다", "entities": entities}))
    with pytest.raises(ValueError, match=rf"ner.jsonl, line 1: {message}.*Correct it, or remove the record\."):
        read_entities(path)


def test_dp(tmp_path: Path) -> None:
    """Forms, heads and deprels, from each of the three formats; the text is the forms joined by one space."""
    record = {"id": "dp-1", "tokens": TREE.forms, "heads": TREE.heads, "deprels": TREE.deprels}
    for name, text in (("dp.tsv", DP), ("dp.conllu", CONLLU), ("dp.txt", CONLLU), ("dp.jsonl", json.dumps(record))):
        assert read_dependencies(write(tmp_path / name, text)) == [TREE]
    assert TREE.text == "순이는 일찍 갔다."


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
def test_malformed_dp(tmp_path: Path, line: str) -> None:
    """A wrong index, head or number of columns is named."""
    lines = DP.split("\n")
    text = "\n".join([*lines[:2], line, *lines[3:]])
    with pytest.raises(ValueError, match=r"dp.tsv, line 3: a KLUE-DP line must be index \(from 1\), form, lemma"):
        read_dependencies(write(tmp_path / "dp.tsv", text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2-3\t일찍\t_\t_\t_\t_\t_\t_\t_\t_", r"a word of CoNLL-U must be ten columns between tabs: its number"),
        ("1.1\t일찍\t_\t_\t_\t_\t_\t_\t_\t_", "a word of CoNLL-U must be ten columns"),
        ("2\t일찍\t일찍\tADV\t_\t_\t3\tAP\t_", "a word of CoNLL-U must be ten columns"),
        ("2\t일찍\t일찍\tADV\t_\t_\t_\tAP\t_\t_", "a word of CoNLL-U must be ten columns"),
        ("2\t일찍\t일찍\tADV\t_\t_\t4\tAP\t_\t_", "a word of CoNLL-U must be ten columns"),
        ("2\t일 찍\t일찍\tADV\t_\t_\t3\tAP\t_\t_", "a word of CoNLL-U must be ten columns"),
        (
            "2\t일찍\t일찍\tADV\t_\t_\t3\tAP\t_\tSpaceAfter=No",
            "a word must be a whole eojeol, with a space after it, got '일찍' with SpaceAfter=No. Merge it",
        ),
    ],
)
def test_malformed_conllu(tmp_path: Path, line: str, message: str) -> None:
    lines = CONLLU.split("\n")
    text = "\n".join([*lines[:3], line, *lines[4:]])
    with pytest.raises(ValueError, match=f"dp.conllu, line 4: {message}"):
        read_dependencies(write(tmp_path / "dp.conllu", text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": [3, 0]}, "`tokens`, `heads` and `deprels` must have one entry for each eojeol, got 3, 2 and 3"),
        ({"tokens": []}, ".* must have one entry for each eojeol, got 0, 3 and 3"),
        (
            {"tokens": ["순이 는", "일찍", "갔다."]},
            "`tokens` must be eojeols, strings without white space, got '순이 는'",
        ),
        ({"heads": [3, 4, 0]}, "`heads` must be from 0, the root, to 3, got 4"),
        ({"heads": [3, "3", 0]}, "`heads` must be from 0, the root, to 3, got '3'"),
        ({"deprels": ["NP", "", "VP"]}, "`deprels` must be labels, got ''"),
        ({"deprels": ["NP", 3, "VP"]}, "`deprels` must be a string, got 3"),
    ],
)
def test_malformed_dp_json(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    record = {"tokens": TREE.forms, "heads": TREE.heads, "deprels": TREE.deprels} | change
    with pytest.raises(ValueError, match=f"dp.jsonl, line 1: {message}"):
        read_dependencies(write(tmp_path / "dp.jsonl", json.dumps(record)))


def test_mentions_are_strict_iob2() -> None:
    """An I- without its B- is no entity; another type, O or an unknown character ends one."""
    tags = ["I-PS", "B-PS", "I-PS", "I-LC", "B-LC", "B-LC", "I-LC", None, "I-LC", "B-QT"]
    assert mentions_of_tags(tags) == [
        Mention(1, 3, "PS"),
        Mention(4, 5, "LC"),
        Mention(5, 7, "LC"),
        Mention(9, 10, "QT"),
    ]
