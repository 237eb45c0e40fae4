"""Dependency trees: the best one, and only trees."""

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.transforms.base.codepoints import find_eojeols, to_code_points
from klue_beam.transforms.tasks.dependency.trees import Arcs, are_trees, best_tree, decode_heads


def is_tree(heads: tuple[int, ...]) -> bool:
    """Walk up from every word."""
    if sum(head == 0 for head in heads) != 1:
        return False
    for start in range(1, len(heads) + 1):
        seen, word = set(), start
        while word:
            if word in seen:
                return False
            seen.add(word)
            word = heads[word - 1]
    return True


TREES = {n: [heads for heads in itertools.product(range(n + 1), repeat=n) if is_tree(heads)] for n in range(1, 6)}


def test_all_trees_are_there() -> None:
    """Cayley: there are n^(n-1) trees over n words with one root."""
    assert [len(TREES[n]) for n in TREES] == [n ** (n - 1) for n in TREES]


def random_scores(seed: int, n: int, spread: float) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(0, spread, (n, n + 1))
    scores[np.arange(n), np.arange(1, n + 1)] = -np.inf
    return scores


@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 30.0]))
@settings(deadline=None)
def test_best_tree_is_the_best_of_all(n: int, seed: int, spread: float) -> None:
    """Against every tree over up to five words, the one found has the highest sum."""
    scores = random_scores(seed, n, spread)
    trees = np.array(TREES[n])
    sums = scores[np.arange(n), trees].sum(1)
    heads = best_tree(scores)
    assert is_tree(tuple(heads.tolist()))
    np.testing.assert_allclose(scores[np.arange(n), heads].sum(), sums.max(), rtol=1e-9, atol=1e-9)


@given(st.integers(1, 14), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_best_tree_is_that_of_networkx(n: int, seed: int) -> None:
    """For longer sentences, networkx's arborescence from the best single root is no better."""
    scores = random_scores(seed, n, 2.0)
    best = -np.inf
    for root in range(1, n + 1):
        graph = networkx.DiGraph()
        graph.add_edge(0, root, weight=scores[root - 1, 0])
        for word in range(1, n + 1):
            for head in range(1, n + 1):
                if word not in (head, root):
                    graph.add_edge(head, word, weight=scores[word - 1, head])
        tree = networkx.maximum_spanning_arborescence(graph, preserve_attrs=False)
        best = max(best, sum(scores[word - 1, head] for head, word in tree.edges))
    heads = best_tree(scores)
    assert is_tree(tuple(heads.tolist()))
    assert scores[np.arange(n), heads].sum() == pytest.approx(best)


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_missing_arcs_are_taken_only_where_nothing_else_makes_a_tree(n: int, seed: int) -> None:
    """With -inf for some arcs, the fewest of them are taken, and among those trees the best."""
    scores = random_scores(seed, n, 1.0)
    scores[np.random.default_rng(seed + 1).uniform(size=scores.shape) < 0.4] = -np.inf
    heads = best_tree(scores)
    assert is_tree(tuple(heads.tolist()))
    chosen = scores[np.arange(n), np.array(TREES[n])]
    missing = np.isinf(chosen).sum(1)
    value = np.where(np.isfinite(chosen), chosen, 0).sum(1)
    ours = scores[np.arange(n), heads]
    assert np.isinf(ours).sum() == missing.min()
    assert ours[np.isfinite(ours)].sum() == pytest.approx(value[missing == missing.min()].max())


@given(st.integers(1, 5), st.data())
def test_trees_are_told_from_the_rest(n: int, data: st.DataObject) -> None:
    """are_trees agrees with a walk up from every word, for rows padded to any width."""
    rows = data.draw(st.lists(st.lists(st.integers(0, n), min_size=n, max_size=n), min_size=1, max_size=5))
    pad = data.draw(st.integers(0, 3))
    heads = np.pad(np.array(rows, dtype=np.int64), ((0, 0), (0, pad)))
    real = np.pad(np.ones((len(rows), n), dtype=bool), ((0, 0), (0, pad)))
    assert are_trees(heads, real).tolist() == [is_tree(tuple(row)) for row in rows]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_decoding_always_gives_trees(lengths: list[int], seed: int) -> None:
    """Whatever the scores, each sentence of a padded batch gets one tree, and 0 past its end."""
    width = max(1, *lengths) if len(lengths) > 1 else max(1, lengths[0])
    scores = np.full((len(lengths), width, width + 1), -np.inf, dtype=np.float32)
    scores[:, :, 0] = 0.0
    for i, n in enumerate(lengths):
        if n:
            scores[i, :n, : n + 1] = random_scores(seed + i, n, 1.0)
    heads = decode_heads(scores, np.array(lengths))
    for row, n in zip(heads, lengths, strict=True):
        assert n == 0 or is_tree(tuple(row[:n].tolist()))
        assert not row[n:].any()


def test_nested_cycles_of_a_long_sentence_are_resolved() -> None:
    """Cycle in cycle in cycle, as deep as a sentence is long: the chain with one root is found, without recursion."""
    n = 400
    scores = np.full((n, n + 1), -50.0)
    for word in range(1, n):
        scores[word - 1, word + 1] = -0.1  # each prefers the word after it
    for word in range(2, n + 1):
        scores[word - 1, word - 1] = -0.01 * (n - word) / n  # and even more the word before it
    scores[0, 0] = -40.0
    scores[np.arange(n), np.arange(1, n + 1)] = -np.inf
    heads = best_tree(scores)
    assert heads.tolist() == list(range(n))


def test_arcs_are_laid_out_by_eojeol() -> None:
    """Index, form and offsets come from the eojeols; a text that was skipped is null."""
    texts = ["나는 간다", "건너뛴 글"]
    eojeols = find_eojeols(to_code_points(texts))
    arcs = Arcs(
        ("NP_SBJ", "VP"),
        eojeols,
        np.array([0, 1]),
        np.array([2, 0]),
        np.array([0, 1]),
        np.array([0.5, 1.0], np.float32),
    )
    first, second = arcs.to_arrow(texts, np.array([False, True])).to_pylist()
    assert second is None
    assert first == [
        {"index": 1, "form": "나는", "begin": 0, "end": 2, "head": 2, "deprel": "NP_SBJ", "score": 0.5},
        {"index": 2, "form": "간다", "begin": 3, "end": 5, "head": 0, "deprel": "VP", "score": 1.0},
    ]
