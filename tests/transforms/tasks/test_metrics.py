"""KLUE's metrics: against hand-computed cases, and against seqeval and scikit-learn on random decisions."""

import warnings
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2
from sklearn import metrics as sklearn_metrics

from klue_beam.schemas.labels import DEPRELS, NER_TYPES
from klue_beam.transforms.tasks.dependency.score import deprel_ids, score_attachments
from klue_beam.transforms.tasks.entity.gold import NER_TAGS, Mention, mentions_of_tags
from klue_beam.transforms.tasks.entity.score import count_characters, count_entities
from klue_beam.transforms.tasks.metrics import (
    area_under_pr_curve,
    auprc,
    count_labels,
    expected_calibration_error,
    without_label,
)


def test_macro_f1_by_hand():
    """Label 0: P 1/2, R 1/1, F1 2/3; label 1: P 1/1, R 1/2, F1 2/3; label 2 is missed; label 3 never occurs."""
    counts = count_labels(np.array([0, 1, 1, 2]), np.array([0, 1, 0, -1]), 4)
    np.testing.assert_allclose(counts.f1(), [200 / 3, 200 / 3, 0, np.nan])
    np.testing.assert_allclose(counts.precision(), [50, 100, np.nan, np.nan])
    np.testing.assert_allclose(counts.recall(), [100, 50, 0, np.nan])
    assert counts.macro_f1() == pytest.approx(400 / 9)
    assert counts.micro_f1() == pytest.approx(100 * 4 / 7)


def test_scores_of_nothing_are_nan():
    """Without a decision there is no score to give."""
    counts = count_labels(np.array([], np.int64), np.array([], np.int64), 3)
    assert np.isnan(counts.macro_f1())
    assert np.isnan(counts.micro_f1())


def test_count_labels_needs_a_prediction_a_row():
    """A caller that lost rows is told so."""
    with pytest.raises(ValueError, match="a label for each of the 2 rows, got 1"):
        count_labels(np.array([0, 1]), np.array([0]), 2)


decisions = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 5), min_size=n, max_size=n), st.lists(st.integers(0, 5), min_size=n, max_size=n)
    )
)


@given(decisions)
def test_f1_agrees_with_scikit_learn(case):
    """Macro F1 is scikit-learn's over the labels that occur; micro F1 without a label is its over the others."""
    gold, predicted = (np.array(labels) for labels in case)
    counts = count_labels(gold, predicted, 6)
    assert counts.macro_f1() == pytest.approx(100 * sklearn_metrics.f1_score(gold, predicted, average="macro"))
    others = without_label(counts, 0)
    expected = sklearn_metrics.f1_score(gold, predicted, average="micro", labels=[1, 2, 3, 4, 5], zero_division=0)
    assert np.nan_to_num(others.micro_f1()) == pytest.approx(100 * expected)


tag_lists = st.lists(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(*[st.lists(st.sampled_from(NER_TAGS[:7]), min_size=n, max_size=n)] * 2)
    ),
    min_size=1,
    max_size=8,
)


@given(tag_lists)
@settings(deadline=None)
def test_entity_f1_agrees_with_seqeval(sentences):
    """Entity macro F1 is seqeval's in strict IOB2 mode, on any tags, a stray I- among them."""
    gold, predicted = [pair[0] for pair in sentences], [pair[1] for pair in sentences]
    counts = count_entities(list(map(mentions_of_tags, gold)), list(map(mentions_of_tags, predicted)), NER_TYPES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not counts.gold.any() and not counts.predicted.any():
            assert np.isnan(counts.macro_f1())
        else:
            expected = seqeval_f1(gold, predicted, average="macro", mode="strict", scheme=IOB2)
            assert counts.macro_f1() == pytest.approx(100 * expected)


def test_entities_by_hand():
    """A span one character short, and one of another type, are wrong."""
    gold = [[Mention(0, 3, "PS"), Mention(4, 6, "LC")], [Mention(0, 2, "OG")]]
    predicted = [[Mention(0, 3, "PS"), Mention(4, 5, "LC")], [Mention(0, 2, "LC")]]
    counts = count_entities(gold, predicted, NER_TYPES)
    assert counts.correct.tolist() == [1, 0, 0, 0, 0, 0]
    assert counts.predicted.tolist() == [1, 2, 0, 0, 0, 0]
    assert counts.gold.tolist() == [1, 1, 1, 0, 0, 0]
    assert counts.macro_f1() == pytest.approx(100 / 3)


def test_character_f1_leaves_spaces_and_outside_out():
    """The wrongly tagged space costs nothing; of three entity characters two are right."""
    gold, predicted = ["B-PS", "I-PS", "I-PS", "O"], ["B-PS", "O", "I-PS", "O"]
    counts = without_label(count_characters(["나 라는"], [gold], [predicted]), 0)
    assert counts.macro_f1() == pytest.approx(100)
    counts = without_label(count_characters(["나라 는"], [gold], [predicted]), 0)
    assert counts.macro_f1() == pytest.approx(50)


@given(tag_lists)
def test_character_f1_agrees_with_scikit_learn(sentences):
    """Character macro F1 is scikit-learn's over the B- and I- tags that occur."""
    gold, predicted = [pair[0] for pair in sentences], [pair[1] for pair in sentences]
    counts = without_label(count_characters(["가" * len(tags) for tags in gold], gold, predicted), 0)
    flat_gold, flat_predicted = [*chain(*gold)], [*chain(*predicted)]
    labels = sorted({*flat_gold, *flat_predicted} - {"O"})
    if labels:
        expected = sklearn_metrics.f1_score(flat_gold, flat_predicted, labels=labels, average="macro", zero_division=0)
        assert counts.macro_f1() == pytest.approx(100 * expected)
    else:
        assert np.isnan(counts.macro_f1())


def test_character_tags_must_fit_the_text():
    """Tags that are not as many as the characters are refused."""
    with pytest.raises(ValueError, match="for each of 2 characters, got 1 for '서울'"):
        count_characters(["서울"], [["B-LC"]], [["B-LC", "I-LC"]])


def test_area_under_the_curve_by_hand():
    """A perfect ranking gives 100; a tie of all rows gives the line from precision 1 to the share of positives."""
    gold = np.array([True, True, False, False])
    assert area_under_pr_curve(gold, np.array([0.9, 0.8, 0.2, 0.1])) == pytest.approx(100)
    assert area_under_pr_curve(gold, np.full(4, 0.5)) == pytest.approx(75)
    assert np.isnan(area_under_pr_curve(np.zeros(3, bool), np.ones(3)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 12))
def test_auprc_agrees_with_scikit_learn(seed, n_rows, n_values):
    """Over any scores, ties too, each class's area is scikit-learn's auc of its precision_recall_curve."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 4, n_rows)
    probabilities = rng.integers(0, n_values, (n_rows, 4)) / n_values
    areas = []
    for label in np.unique(gold):
        precision, recall, _ = sklearn_metrics.precision_recall_curve(gold == label, probabilities[:, label])
        areas.append(sklearn_metrics.auc(recall, precision))
    assert auprc(gold, probabilities) == pytest.approx(100 * np.mean(areas))


def test_attachments_by_hand():
    """Of four eojeols, three have the right head, two of these the right deprel."""
    gold_deprels = deprel_ids(["NP_SBJ", "NP_OBJ", "VP", "AP"])
    deprels = deprel_ids(["NP_SBJ", "NP_AJT", "VP", "AP"])
    scores = score_attachments(np.array([3, 3, 0, 3]), gold_deprels, np.array([3, 3, 0, 2]), deprels)
    assert scores.uas == 75
    assert scores.las == 50
    # Heads: 3 has F1 4/5, 0 has 1, 2 is predicted once and never gold.
    assert scores.uas_macro_f1 == pytest.approx(100 * (4 / 5 + 1 + 0) / 3)
    # NP_SBJ 1, VP 1, NP_OBJ 0, NP_AJT 0, AP 0 (its head is wrong), the label of wrong heads 0.
    assert scores.las_macro_f1 == pytest.approx(100 * 2 / 6)


def test_rare_deprels_are_merged():
    """VP_CMP for VP_OBJ, both past the first 15, is right for the labelled macro F1 and wrong for LAS."""
    gold, predicted = deprel_ids(["VP_CMP", "VP"]), deprel_ids(["VP_OBJ", "VP"])
    scores = score_attachments(np.array([2, 0]), gold, np.array([2, 0]), predicted)
    assert (scores.las, scores.las_macro_f1) == (50, 100)


@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_attachments_agree_with_scikit_learn(seed, n_eojeols):
    """Macro F1 of heads and deprels as scikit-learn computes it on KLUE's relabelled decisions."""
    rng = np.random.default_rng(seed)
    gold_heads, heads = rng.integers(0, 6, (2, n_eojeols))
    gold_deprels, deprels = rng.integers(0, len(DEPRELS), (2, n_eojeols))
    scores = score_attachments(gold_heads, gold_deprels, heads, deprels)
    true = [-3 if label >= 15 else label for label in gold_deprels]
    found = [
        -2 if h != g else -3 if label >= 15 else label for h, g, label in zip(heads, gold_heads, deprels, strict=True)
    ]
    assert scores.uas == pytest.approx(100 * sklearn_metrics.accuracy_score(gold_heads, heads))
    assert scores.uas_macro_f1 == pytest.approx(100 * sklearn_metrics.f1_score(gold_heads, heads, average="macro"))
    assert scores.las_macro_f1 == pytest.approx(100 * sklearn_metrics.f1_score(true, found, average="macro"))


def test_a_deprel_of_another_scheme_is_wrong():
    """A parser with other labels keeps its UAS and has no LAS."""
    scores = score_attachments(np.array([0]), deprel_ids(["VP"]), np.array([0]), deprel_ids(["root"]))
    assert (scores.uas, scores.las) == (100, 0)


def test_calibration_error_by_hand():
    """Two bins: 0.9 with 3 of 4 right is off by 15 points, 0.5 with 1 of 2 right by none."""
    confidences = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    correct = np.array([True, True, True, False, True, False])
    assert expected_calibration_error(confidences, correct) == pytest.approx(100 * 0.15 * 4 / 6)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0
