"""From gold examples and what a model found to a report."""

import numpy as np
import pytest

from klue_beam.schemas.labels import RELATIONS, TOPICS
from klue_beam.transforms.tasks.classification.gold import LabelledText
from klue_beam.transforms.tasks.classification.score import score_texts
from klue_beam.transforms.tasks.dependency.gold import DependencyExample
from klue_beam.transforms.tasks.dependency.score import ScoredArc, score_dependencies
from klue_beam.transforms.tasks.entity.gold import EntityExample, Mention
from klue_beam.transforms.tasks.entity.score import ScoredMention, score_entities
from klue_beam.transforms.tasks.relation.gold import RelationExample
from klue_beam.transforms.tasks.relation.score import MentionRecall, score_mentions, score_relations
from klue_beam.transforms.tasks.report import NOTHING, Confusion, LabelScore, Report


def score_topics(examples: list[LabelledText], topics: list[tuple[str, float] | None]) -> Report:
    """Score topics, given as label and score, or None for a sentence that got none."""
    rows = [[{"topic": topic and {"label": topic[0], "score": topic[1]}}] for topic in topics]
    return score_texts(examples, rows, "topic", TOPICS)


TOPIC_EXAMPLES = [
    LabelledText("a", "금리가 올랐다", "경제"),
    LabelledText("b", "새 위성 발사", "IT과학"),
    LabelledText("c", "총선 후보 등록", "정치"),
    LabelledText("d", "환율 하락", "경제"),
]


def test_topics():
    """A topic that is missing, and one of another label set, are wrong; the surest mistake comes first."""
    report = score_topics(TOPIC_EXAMPLES, [("경제", 0.9), ("경제", 0.8), None, ("연예", 0.95)])
    # 경제: one of two predicted is right, one of two gold is found; IT과학 and 정치 are missed.
    assert report.metrics == {"macro_f1": pytest.approx(50 / 3)}
    assert report.details["accuracy"] == 25
    assert report.labels[0] == LabelScore("경제", 50, 50, 50, 2)
    assert {(c.gold, c.predicted, c.times) for c in report.confusions} == {
        ("IT과학", "경제", 1),
        ("정치", NOTHING, 1),
        ("경제", "연예", 1),
    }
    assert [mistake.text for mistake in report.mistakes] == ["환율 하락", "새 위성 발사", "총선 후보 등록"]


def test_at_most_ten_mistakes_are_shown():
    """The ten surest of twelve."""
    scores = np.linspace(0.1, 0.9, 12)
    report = score_topics([TOPIC_EXAMPLES[0]] * 12, [("정치", score) for score in scores])
    assert [mistake.score for mistake in report.mistakes] == sorted(scores, reverse=True)[:10]


def test_entities():
    """Right, of another type, of another span, missed, and found where nothing is; POH is no type of KLUE-NER."""
    text = "순이가 서울 한강에서 3월 김을"
    tags = ["O"] * len(text)
    tags[0:2] = ["B-PS", "I-PS"]
    tags[4:6] = ["B-LC", "I-LC"]
    tags[7:9] = ["B-LC", "I-LC"]
    tags[15] = "B-PS"
    found = [
        ScoredMention(Mention(0, 2, "PS"), 0.9),
        ScoredMention(Mention(4, 6, "OG"), 0.8),
        ScoredMention(Mention(7, 10, "LC"), 0.7),
        ScoredMention(Mention(12, 14, "DT"), 0.6),
        ScoredMention(Mention(14, 15, "POH"), 0.99),
    ]
    report = score_entities([EntityExample("a", text, tuple(tags))], [found])
    by_label = {row.label: row for row in report.labels}
    assert by_label["PS"] == LabelScore("PS", 100, 50, pytest.approx(200 / 3), 2)
    assert by_label["LC"].f1 == 0
    assert report.metrics["entity_f1"] == pytest.approx((200 / 3 + 0 + 0 + 0) / 4)
    assert report.details["entity_micro_f1"] == pytest.approx(25)
    assert set(report.confusions) == {
        Confusion("LC", "OG", 1),
        Confusion("LC", "LC (span)", 1),
        Confusion("PS", NOTHING, 1),
        Confusion(NOTHING, "DT", 1),
    }
    assert [(m.gold, m.predicted, m.score) for m in report.mistakes] == [
        ("서울:LC", "서울:OG", 0.8),
        ("한강:LC", "한강에:LC", 0.7),
        (NOTHING, "3월:DT", 0.6),
    ]


def one_hot(label, probability=1.0):
    row = np.full(len(RELATIONS), (1 - probability) / (len(RELATIONS) - 1))
    row[RELATIONS.index(label)] = probability
    return row


RELATION_EXAMPLES = [
    RelationExample(
        "a", "박하늘은 새별전자 대표다.", Mention(5, 9, "OG"), Mention(0, 3, "PS"), "org:top_members/employees"
    ),
    RelationExample("b", "박하늘은 새별전자 대표다.", Mention(0, 3, "PS"), Mention(10, 12, "POH"), "per:title"),
    RelationExample("c", "박하늘은 새별전자 대표다.", Mention(0, 3, "PS"), Mention(5, 9, "OG"), "no_relation"),
]


def test_relations_of_gold_pairs():
    """no_relation counts for nothing when right, and costs precision when taken for a relation."""
    probabilities = np.stack(
        [one_hot("org:top_members/employees", 0.8), one_hot("no_relation", 0.6), one_hot("per:employee_of", 0.7)]
    )
    report = score_relations(RELATION_EXAMPLES, probabilities)
    assert report.metrics["micro_f1"] == pytest.approx(50)
    assert "end_to_end_micro_f1" not in report.details
    assert [(m.text, m.gold, m.predicted) for m in report.mistakes] == [
        ("「박하늘」은 〈새별전자〉 대표다.", "no_relation", "per:employee_of"),
        ("「박하늘」은 새별전자 〈대표〉다.", "per:title", "no_relation"),
    ]


def test_pairs_that_were_not_scored_are_no_relation():
    """They are counted, and no sure mistakes."""
    probabilities = np.stack([np.full(len(RELATIONS), np.nan), one_hot("per:title", 0.9), one_hot("no_relation", 0.9)])
    report = score_relations(RELATION_EXAMPLES, probabilities)
    assert report.metrics["micro_f1"] == pytest.approx(200 / 3)
    assert report.details["pairs_not_scored"] == pytest.approx(100 / 3)
    assert report.details["expected_calibration_error"] == pytest.approx(10)
    assert [(m.predicted, m.score) for m in report.mistakes] == [("no_relation", 0.0)]


def test_relations_end_to_end():
    """A relation counts where both entities were found, whatever their types."""
    probabilities = np.stack([one_hot(example.label) for example in RELATION_EXAMPLES])
    found = [ScoredMention(Mention(0, 3, "PS"), 0.9), ScoredMention(Mention(5, 9, "LC"), 0.9)]
    end_to_end = ["org:top_members/employees", "no_relation", "no_relation"]
    report = score_relations(RELATION_EXAMPLES, probabilities, end_to_end, [found] * 3)
    assert report.metrics == {"micro_f1": 100, "auprc": 100}
    assert report.details["end_to_end_micro_f1"] == pytest.approx(200 / 3)
    assert [row.type for row in report.further[0].rows] == ["PS", "OG", "POH"]


def test_mentions_are_found_with_span_and_type():
    """By hand: another span and another type are not found; QT and TI are KLUE-RE's NOH; roles are told apart."""
    text = "박하늘은 2019년 새별전자 5대 대표였다."
    person, year, firm = Mention(0, 3, "PS"), Mention(5, 10, "DT"), Mention(11, 15, "OG")
    number, title = Mention(16, 18, "NOH"), Mention(19, 21, "POH")
    pairs = [(person, firm), (firm, person), (firm, number), (person, title), (person, year), (person, title)]
    examples = [RelationExample(str(n), text, *pair, "no_relation") for n, pair in enumerate(pairs)]
    all_right = [person, firm, Mention(16, 18, "QT"), title, year]
    others = [
        Mention(0, 4, "PS"),
        Mention(11, 15, "LC"),
        Mention(16, 18, "TI"),
        Mention(19, 21, "PS"),
        Mention(5, 10, "QT"),
    ]
    found = [all_right, others, others, all_right, others, others]
    report = score_mentions(examples, [[ScoredMention(mention, 0.5) for mention in here] for here in found])
    assert report == [
        # Subject of rows 0, 3, 4, 5, found in 0 and 3; object of row 1, where only another span is found.
        MentionRecall("PS", 5, pytest.approx(40), 50, 0, pytest.approx(40)),
        # Object of row 0, found; subject of rows 1 and 2, taken for a place.
        MentionRecall("OG", 3, pytest.approx(100 / 3), 0, 100, 100),
        # Object of row 4, taken for a number.
        MentionRecall("DT", 1, 0, None, 0, 100),
        # Object of rows 3 and 5; taken for a person in the second.
        MentionRecall("POH", 2, 50, None, 50, 100),
        # Object of row 2, found as a time of day.
        MentionRecall("NOH", 1, 100, None, 100, 100),
    ]


def test_dependencies():
    """A missing tree, and one over other eojeols, are wrong throughout; a wrong deprel is a confusion."""
    tree = DependencyExample("a", ("순이는", "일찍", "갔다."), (3, 3, 0), ("NP_SBJ", "AP", "VP"))
    found = [ScoredArc(3, "NP_OBJ", 0.9), ScoredArc(1, "AP", 0.8), ScoredArc(0, "VP", 0.7)]
    report = score_dependencies(
        [tree] * 4, [found, None, found[:2], [ScoredArc(3, "NP_SBJ", 1), ScoredArc(3, "AP", 1), ScoredArc(0, "VP", 1)]]
    )
    assert report.metrics["uas"] == pytest.approx(100 * 5 / 12)
    assert report.metrics["las"] == pytest.approx(100 * 4 / 12)
    assert report.details["trees_right"] == 25
    assert report.confusions == [Confusion("NP_SBJ", "NP_OBJ", 1)]
    first, second, *_ = report.mistakes
    assert (first.text, first.gold, first.predicted) == (
        "순이는 (순이는 일찍 갔다.)",
        "NP_SBJ → 갔다.",
        "NP_OBJ → 갔다.",
    )
    assert (second.gold, second.predicted) == ("AP → 갔다.", "AP → 순이는")
    assert {row.label: row.recall for row in report.labels if row.gold} == {"NP_SBJ": 25, "AP": 25, "VP": 50}
