"""The best sequences of tags."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from klue_beam.transforms.tasks.entity.tagging import count_transitions, find_best_tags

N_TAGS = 3


def score(tags: tuple[int, ...], logs: np.ndarray, transitions: np.ndarray) -> float:
    """What a sequence of tags gets."""
    before = (N_TAGS, *tags)[: len(tags)]
    return float(
        sum(logs[i, tag] + transitions[last, tag] for i, (last, tag) in enumerate(zip(before, tags, strict=True)))
    )


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Lengths of some sequences, probabilities (many of them all but certain of the first tag), and transitions."""
    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = random.normal(0, draw(st.sampled_from([0.5, 4.0])), (sum(lengths), N_TAGS))
    rows[random.random(len(rows)) < draw(st.sampled_from([0.0, 0.5, 0.9])), 0] += 12.0
    odds = np.exp(rows)
    transitions = random.normal(0, draw(st.sampled_from([0.0, 1.0, 3.0])), (N_TAGS + 1, N_TAGS))
    return lengths, odds / odds.sum(1, keepdims=True), transitions


@given(sequences())
def test_no_sequence_of_tags_gets_more(case: tuple[list[int], np.ndarray, np.ndarray]) -> None:
    """Against all sequences that there are, each sequence for itself."""
    lengths, probabilities, transitions = case
    group = np.repeat(np.arange(len(lengths)), lengths)
    tags = find_best_tags(probabilities, group, transitions)
    logs = np.log(np.maximum(probabilities, 1e-9))
    for number in range(len(lengths)):
        rows = logs[group == number]
        best = max(score(some, rows, transitions) for some in itertools.product(range(N_TAGS), repeat=len(rows)))
        assert abs(score(tuple(tags[group == number].tolist()), rows, transitions) - best) < 1e-9


@given(sequences())
def test_a_sequence_does_not_depend_on_those_beside_it(case: tuple[list[int], np.ndarray, np.ndarray]) -> None:
    lengths, probabilities, transitions = case
    group = np.repeat(np.arange(len(lengths)), lengths)
    together = find_best_tags(probabilities, group, transitions)
    for number in set(group.tolist()):
        alone = find_best_tags(probabilities[group == number], np.zeros((group == number).sum(), np.int64), transitions)
        assert (together[group == number] == alone).all()


@given(sequences())
def test_without_transitions_each_has_its_most_probable_tag(case: tuple[list[int], np.ndarray, np.ndarray]) -> None:
    lengths, probabilities, transitions = case
    group = np.repeat(np.arange(len(lengths)), lengths)
    tags = find_best_tags(probabilities, group, np.zeros_like(transitions))
    floored = np.maximum(probabilities, 1e-9)
    assert (np.take_along_axis(floored, tags[:, None], 1)[:, 0] == floored.max(1)).all()


def test_transitions_are_logarithms_of_shares() -> None:
    """Counted by hand: 0 is followed by 1 twice and by 0 once, 1 by 0 once; sequences begin with 0, and with 1."""
    found = count_transitions([np.array([0, 0, 1, 0, 1]), np.array([1])], 2, 1.0)
    np.testing.assert_allclose(found, np.log([[1.1 / 3.2, 2.1 / 3.2], [1.1 / 1.2, 0.1 / 1.2], [1.1 / 2.2, 1.1 / 2.2]]))
    np.testing.assert_allclose(
        count_transitions([np.array([0, 1])], 2, 0.5), 0.5 * count_transitions([np.array([0, 1])], 2, 1)
    )
