"""KLUE-RE's rows with other names in them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klue_beam.schemas.labels import ENTITY_TYPES, RELATIONS
from klue_beam.transforms.tasks.entity.gold import Mention
from klue_beam.transforms.tasks.relation.gold import RelationExample, read_relations
from klue_beam.transforms.tasks.relation.rows import swap_mentions
from tests.klue_rows import write_re

PARTS = st.text("가나다각 강0a.", max_size=5)
NAMES = st.text("가나각강 zé", min_size=1, max_size=4)


@st.composite
def rows(draw: st.DrawFn) -> RelationExample:
    """A sentence with two mentions, in either order, side by side or apart."""
    before, first, between, second, after = draw(PARTS), draw(NAMES), draw(PARTS), draw(NAMES), draw(PARTS)
    begin = len(before) + len(first) + len(between)
    mentions = [
        Mention(len(before), len(before) + len(first), draw(st.sampled_from(ENTITY_TYPES))),
        Mention(begin, begin + len(second), draw(st.sampled_from(ENTITY_TYPES))),
    ]
    if draw(st.booleans()):
        mentions.reverse()
    return RelationExample("", before + first + between + second + after, *mentions, draw(st.sampled_from(RELATIONS)))


def name(row: RelationExample, mention: Mention) -> str:
    return row.text[mention.begin : mention.end]


def rest(row: RelationExample) -> tuple[str, str, str]:
    """What is no mention."""
    first, second = sorted((row.subject, row.object))
    return row.text[: first.begin], row.text[first.end : second.begin], row.text[second.end :]


@given(st.lists(rows(), max_size=6), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 99))
def test_only_names_change_and_spans_follow_them(examples: list[RelationExample], share: float, seed: int) -> None:
    swapped = swap_mentions(examples, share, seed)
    assert swapped == swap_mentions(examples, share, seed)
    given_names = {(m.type, name(row, m)) for row in examples for m in (row.subject, row.object)}
    for before, after in zip(examples, swapped, strict=True):
        assert (after.label, rest(after)) == (before.label, rest(before))
        assert (after.subject.type, after.object.type) == (before.subject.type, before.object.type)
        for mention in (after.subject, after.object):
            assert (mention.type, name(after, mention)) in given_names
        if share == 0 or before.label.endswith("alternate_names"):
            assert after == before


def test_a_name_gives_way_to_one_that_may_stand_there(tmp_path: Path) -> None:
    """Like types, like endings; an object that says something of the relation stays with its relation."""
    examples = read_relations(str(write_re(tmp_path / "re.json")))
    swapped = swap_mentions(examples, 1.0, 3)
    objects = {(row.label, name(row, row.object)) for row in examples}
    changed = 0
    for before, after in zip(examples, swapped, strict=True):
        assert (after.label, name(after, after.object)) in objects
        for old, new in ((before.subject, after.subject), (before.object, after.object)):
            last = [ord(name(row, m)[-1]) - ord("가") for row, m in ((before, old), (after, new))]
            assert (last[0] % 28 == 0) == (last[1] % 28 == 0)
            changed += name(before, old) != name(after, new)
    assert changed > len(examples) / 2


def test_a_subject_may_come_from_another_relation_and_a_place_may_not() -> None:
    examples = [
        RelationExample("", "하늘은 서울 사람", Mention(0, 2, "PS"), Mention(4, 6, "LC"), "per:origin"),
        RelationExample("", "가람은 부산 시장", Mention(0, 2, "PS"), Mention(4, 6, "LC"), "per:employee_of"),
    ]
    texts = {row.text for seed in range(20) for row in swap_mentions(examples, 1.0, seed)}
    assert texts == {"하늘은 서울 사람", "가람은 서울 사람", "하늘은 부산 시장", "가람은 부산 시장"}


def test_half_of_the_mentions_are_drawn(tmp_path: Path) -> None:
    examples = read_relations(str(write_re(tmp_path / "re.json")))
    changed = [a != b for a, b in zip(examples, swap_mentions(examples, 0.5, 1), strict=True)]
    # A row stays as it is if neither is drawn, or where a name gives way to itself.
    assert sum(changed) / len(changed) == pytest.approx(0.65, abs=0.15)
