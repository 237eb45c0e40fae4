"""Head-final trees without crossing arcs: only those, and the best of them."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.transforms.tasks.dependency.head_final import are_head_final, decode_head_final


def is_head_final(heads: tuple[int, ...]) -> bool:
    """Arc by arc."""
    arcs = [(word, head) for word, head in enumerate(heads, 1) if head]
    return (
        heads[-1] == 0
        and all(head > word for word, head in arcs)
        and sum(head == 0 for head in heads) == 1
        and not any(a < c < b < d for a, b in arcs for c, d in arcs)
    )


TREES = {n: [heads for heads in itertools.product(range(n + 1), repeat=n) if is_head_final(heads)] for n in range(1, 7)}


def test_all_trees_are_there() -> None:
    """They are as many as there are ways to put brackets: Catalan's numbers."""
    assert [len(TREES[n]) for n in TREES] == [1, 1, 2, 5, 14, 42]


def test_such_trees_are_told_from_all_others() -> None:
    """Every way to give four words heads, alone and with padding behind."""
    heads = np.array(list(itertools.product(range(5), repeat=4)))
    expected = [is_head_final(tuple(row)) for row in heads.tolist()]
    assert are_head_final(heads, np.ones_like(heads, dtype=bool)).tolist() == expected
    padded = np.pad(heads, ((0, 0), (0, 2)))
    assert are_head_final(padded, np.arange(6) < np.full((len(heads), 1), 4)).tolist() == expected


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 3.0]))
@settings(deadline=None)
def test_the_best_of_all_is_found_whatever_stands_beside_it(lengths: list[int], seed: int, spread: float) -> None:
    """Against all such trees over up to six words, and the same for each sentence alone."""
    width = max(lengths)
    scores = np.random.default_rng(seed).normal(0, spread, (len(lengths), width, width + 1)).astype(np.float32)
    scores[:, np.arange(width), np.arange(1, width + 1)] = -np.inf
    n_eojeols = np.array(lengths)
    heads = decode_head_final(scores, n_eojeols)
    for row, n in enumerate(lengths):
        assert not heads[row, n:].any()
        if n:
            assert is_head_final(tuple(heads[row, :n].tolist()))
            arcs = np.arange(n - 1)
            sums = scores[row, arcs, np.array(TREES[n])[:, :-1]].astype(np.float64).sum(1)
            found = scores[row, arcs, heads[row, : n - 1]].astype(np.float64).sum()
            np.testing.assert_allclose(found, sums.max(), rtol=1e-9, atol=1e-9)
            alone = decode_head_final(scores[row : row + 1, :n, : n + 1], n_eojeols[row : row + 1])
            assert (alone[0] == heads[row, :n]).all()


def test_a_long_sentence_is_no_harder() -> None:
    """Far more words than any sentence has."""
    scores = np.random.default_rng(1).normal(0, 1, (1, 200, 201))
    heads = decode_head_final(scores, np.array([200]))
    assert are_head_final(heads, np.ones((1, 200), dtype=bool)).all()
