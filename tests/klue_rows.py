"""Small labelled data in KLUE's official formats, written for the tests: no sentence is from a corpus."""

import json
from pathlib import Path

PEOPLE = ("김하늘", "박서준", "이도윤", "최유진", "정민아", "한지호", "오세린", "윤가람", "서다온", "임주원")
PLACES = ("서울", "부산", "강릉", "전주", "춘천")
FIRMS = ("새별전자", "한빛은행", "푸른출판", "다온건설")
TOPIC_TITLES = {
    "IT과학": "{firm} 새 반도체 칩 공개",
    "경제": "{firm} 주가 사흘째 올라",
    "사회": "{place} 도로에서 버스 사고",
    "생활문화": "{place} 가을 꽃 축제 열려",
    "세계": "이웃 나라 대통령 {place} 방문",
    "스포츠": "{place} 야구단 연장 끝에 이겨",
    "정치": "{person} 의원 새 법안 내놔",
}


def _fields(i: int) -> dict[str, str]:
    return {"person": PEOPLE[i % 10], "place": PLACES[i % 5], "firm": FIRMS[i % 4]}


def write_tc(path: Path, rows: int = 200) -> Path:
    records = [
        {"guid": f"tc-{i}", "title": TOPIC_TITLES[label].format(**_fields(i)) + f" {i}", "label": label}
        for i, label in ((i, list(TOPIC_TITLES)[i % 7]) for i in range(rows))
    ]
    path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return path


def write_ner(path: Path, rows: int = 200) -> Path:
    lines = []
    for i in range(rows):
        fields = _fields(i)
        text = f"{fields['person']} 씨는 {fields['place']}에서 {i + 1}명을 만났다."
        tags = ["O"] * len(text)
        for word, kind in ((fields["person"], "PS"), (fields["place"], "LC"), (f"{i + 1}명", "QT")):
            begin = text.index(word)
            tags[begin : begin + len(word)] = [f"B-{kind}"] + [f"I-{kind}"] * (len(word) - 1)
        lines += [f"## ner-{i}\t{text}", *(f"{char}\t{tag}" for char, tag in zip(text, tags, strict=True)), ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_re(path: Path, rows: int = 200) -> Path:
    frames = {
        "per:employee_of": ("{person} 부장은 {firm}에서 일한다.", "person", "PER", "firm", "ORG"),
        "org:place_of_headquarters": ("{firm} 본사는 {place}에 있다.", "firm", "ORG", "place", "LOC"),
        "no_relation": ("{person} 씨가 떠난 뒤 {place}에는 비가 왔다.", "person", "PER", "place", "LOC"),
    }
    records = []
    for i in range(rows):
        label = list(frames)[i % 3]
        frame, subject, subject_type, object_, object_type = frames[label]
        fields = _fields(i)
        text = frame.format(**fields)
        record = {"guid": f"re-{i}", "sentence": text, "label": label}
        for role, name, kind in (("subject", subject, subject_type), ("object", object_, object_type)):
            begin = text.index(fields[name])
            end = begin + len(fields[name]) - 1
            record[f"{role}_entity"] = {"word": fields[name], "start_idx": begin, "end_idx": end, "type": kind}
        records.append(record)
    path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return path


def write_dp(path: Path, rows: int = 200) -> Path:
    lines = []
    for i in range(rows):
        fields = _fields(i)
        words = [
            (f"{fields['person']}은", 4, "NP_SBJ"),
            (f"{fields['place']}에서", 4, "NP_AJT"),
            (f"책{i}을", 4, "NP_OBJ"),
            ("읽었다.", 0, "VP"),
        ]
        lines.append(f"## dp-{i}\t{' '.join(word for word, _, _ in words)}")
        lines += [f"{n}\t{word}\t{word}\tNNG\t{head}\t{rel}" for n, (word, head, rel) in enumerate(words, 1)]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


WRITERS = {"tc": write_tc, "ner": write_ner, "re": write_re, "dp": write_dp}


def write_all(folder: Path, rows: int = 200) -> dict[str, Path]:
    """Write a file a task."""
    suffixes = {"tc": "json", "ner": "tsv", "re": "json", "dp": "tsv"}
    return {task: write(folder / f"{task}.{suffixes[task]}", rows) for task, write in WRITERS.items()}
