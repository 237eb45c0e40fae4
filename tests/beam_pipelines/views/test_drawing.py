"""Annotated sentences in a terminal: all that was found, Korean in columns of its true width."""

from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from klue_beam import open_dataset
from klue_beam.beam_pipelines.views.drawing import draw_sentence, pick_sentences

TEXT = "김하늘 대표는 부산에서 일한다."
ENTITIES = [
    {"label": "PS", "begin": 0, "end": 3, "text": "김하늘", "score": 0.9},
    {"label": "LC", "begin": 8, "end": 10, "text": "부산", "score": 0.8},
]
ARCS = [
    {"index": 1, "form": "김하늘", "begin": 0, "end": 3, "head": 2, "deprel": "NP", "score": 0.9},
    {"index": 2, "form": "대표는", "begin": 4, "end": 7, "head": 4, "deprel": "NP_SBJ", "score": 0.9},
    {"index": 3, "form": "부산에서", "begin": 8, "end": 12, "head": 4, "deprel": "NP_AJT", "score": 0.9},
    {"index": 4, "form": "일한다.", "begin": 13, "end": 17, "head": 0, "deprel": "VP", "score": 0.9},
]
ROW = {
    "doc_id": "글-1",
    "source": "a.jsonl",
    "record_index": 0,
    "sentence_index": 2,
    "begin": 0,
    "end": len(TEXT),
    "text": TEXT,
    "topic": {"label": "경제", "score": 0.75},
    "entities": ENTITIES,
    "relations": [{"label": "per:place_of_residence", "subject": 0, "object": 1, "score": 0.5}],
    "dependencies": ARCS,
    "flags": ["ner_windowed"],
}


def draw(row: dict[str, object], width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(draw_sentence(row))
    return capture.get().splitlines()


def test_topic_entities_relations_tree_and_flags_are_drawn() -> None:
    assert draw(ROW) == [
        "글-1 · 2  경제 0.75  ner_windowed",
        "[김하늘 PS] 대표는 [부산 LC]에서 일한다.",
        "김하늘 ─ per:place_of_residence → 부산  0.50",
        "일한다. VP",
        "├── 대표는 NP_SBJ",
        "│   └── 김하늘 NP",
        "└── 부산에서 NP_AJT",
    ]


def test_a_tree_in_the_order_of_the_sentence_has_an_arc_from_each_word_to_its_head() -> None:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(draw_sentence({**ROW, "relations": []}, in_order=True))
    assert capture.get().splitlines()[2:] == [
        "  ╭─▶ 김하늘 NP",
        "╭─┴─▶ 대표는 NP_SBJ",
        "│ ╭─▶ 부산에서 NP_AJT",
        "╰─┴─● 일한다. VP",
    ]


def test_two_arcs_that_meet_at_a_word_are_told_apart() -> None:
    arcs = [
        {"index": n, "form": form, "begin": 0, "end": 1, "head": head, "deprel": "NP", "score": 1.0}
        for n, (form, head) in enumerate([("무인", 2), ("모내기", 3), ("기계", 0)], 1)
    ]
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(draw_sentence({**ROW, "relations": [], "dependencies": arcs}, in_order=True))
    assert capture.get().splitlines()[2:] == ["  ╭─▶ 무인 NP", "╭─┴─▶ 모내기 NP", "╰───● 기계 NP"]


def test_arcs_too_deep_within_each_other_are_nested() -> None:
    arcs = [
        {"index": n, "form": f"말{n}", "begin": 0, "end": 1, "head": 40 if n < 40 else 0, "deprel": "NP", "score": 1.0}
        for n in range(1, 41)
    ]
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(draw_sentence({**ROW, "relations": [], "dependencies": arcs}, in_order=True))
    assert capture.get().splitlines()[2] == "말40 NP"


def test_tasks_that_were_not_asked_for_are_left_out() -> None:
    row = {name: value for name, value in ROW.items() if name not in ("topic", "entities", "relations", "dependencies")}
    assert draw({**row, "flags": []}) == ["글-1 · 2", TEXT]


def test_square_brackets_of_the_text_are_text_and_not_markup() -> None:
    row = {**ROW, "text": "[속보] 비가 온다.", "entities": [], "relations": [], "dependencies": []}
    assert draw(row)[1] == "[속보] 비가 온다."


def test_a_narrow_terminal_wraps_by_the_double_width_of_hangul() -> None:
    lines = draw({**ROW, "relations": [], "dependencies": []}, width=24)
    assert len(lines) > 3
    assert max(cell_len(line) for line in lines) <= 24


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_ends_within_an_entity(width: int) -> None:
    place = "함경남도 "
    text = place * 40
    entities = [{"label": "LC", "begin": 5 * n, "end": 5 * n + 4, "text": "함경남도", "score": 0.9} for n in range(40)]
    lines = draw({**ROW, "text": text, "entities": entities, "relations": [], "dependencies": []}, width)[1:]
    assert " ".join(lines) == " ".join(["[함경남도 LC]"] * 40)
    assert all(line.startswith("[") and line.endswith("]") for line in lines)
    assert width - 14 < max(cell_len(line) for line in lines) <= width


def test_an_entity_wider_than_a_line_is_broken_between_words() -> None:
    text = "아주 긴 이름의 단체 " * 8
    entity = {"label": "OG", "begin": 0, "end": len(text) - 1, "text": text[:-1], "score": 0.9}
    lines = draw({**ROW, "text": text, "entities": [entity], "relations": [], "dependencies": []}, width=40)
    assert max(cell_len(line) for line in lines) <= 40
    assert " ".join(line.strip() for line in lines[1:]) == f"[{text.strip()} OG]"


def test_control_characters_are_drawn_as_their_pictures_and_offsets_hold() -> None:
    text = "\x1b[2J\u202e김하늘 대표는\n부산에서"
    entity = {"label": "PS", "begin": 5, "end": 8, "text": "김하늘", "score": 0.9}
    row = {**ROW, "doc_id": "글\x1b]0;t\x07", "text": text, "entities": [entity], "relations": [], "dependencies": []}
    head, line = draw(row)
    assert head.startswith("글␛]0;t␇ · 2")
    assert line == "␛[2J\ufffd[김하늘 PS] 대표는⏎부산에서"


def test_a_column_of_a_package_that_is_not_installed_is_told() -> None:
    assert (
        draw({"mood": {"label": "good"}, **ROW, "topic": None})[0] == "글-1 · 2  mood: {'label': 'good'}  ner_windowed"
    )


def test_a_tree_as_deep_as_a_long_sentence_is_drawn() -> None:
    arcs = [
        {
            "index": i,
            "form": f"말{i}",
            "begin": 0,
            "end": 1,
            "head": i + 1 if i < 300 else 0,
            "deprel": "NP",
            "score": 1.0,
        }
        for i in range(1, 301)
    ]
    lines = draw({**ROW, "dependencies": arcs}, width=4000)
    assert len(lines) == 3 + 300


def test_the_preview_takes_of_each_part_of_the_first_segment_the_row_with_the_most_to_see(undisturbed: Path) -> None:
    dataset = open_dataset(undisturbed)
    first = next(dataset.segment_rows(next(dataset.receipts()))).to_pylist()
    thirds = [first[part * len(first) // 3 : (part + 1) * len(first) // 3] for part in range(3)]
    picked = pick_sentences(dataset, 3)
    for row, third in zip(picked, thirds, strict=True):
        assert row in third
        assert min(len(row["relations"]), 2) == max(min(len(other["relations"]), 2) for other in third)
    assert pick_sentences(dataset, 3) == picked


def test_the_preview_goes_on_in_the_next_segments_and_gives_what_there_is(undisturbed: Path) -> None:
    dataset = open_dataset(undisturbed)
    rows = dataset.rows().read_all().num_rows
    assert len(pick_sentences(dataset, 10_000)) == rows
    assert pick_sentences(dataset, 0) == []
