"""DP: a dependency tree over the eojeols of a sentence."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from klue_beam.schemas.annotation import ARC
from klue_beam.transforms.base.codepoints import Bools, Eojeols, Ints
from klue_beam.transforms.tasks.columns import Probabilities, take_labels, to_list_array


@dataclasses.dataclass(frozen=True, slots=True)
class Arcs:
    """The arcs of several texts, one an eojeol, in order; texts without a tree have none.

    Attributes:
      labels: the label set.
      eojeols: all eojeols of the texts.
      eojeol: the number of the eojeol, in the flat list of all. Shape: (n_arcs,).
      head: 0 for the root, else 1-based in the text. Shape: (n_arcs,).
      label: index in `labels`. Shape: (n_arcs,).
      score: probability of head and label. Shape: (n_arcs,).
    """

    labels: Sequence[str]
    eojeols: Eojeols
    eojeol: Ints
    head: Ints
    label: Ints
    score: Probabilities

    def texts(self) -> Ints:
        """Tell which text each arc is of. Shape: (n_arcs,)."""
        return np.searchsorted(self.eojeols.offsets, self.eojeol, side="right") - 1

    def without(self, failed: Bools) -> "Arcs":
        """Leave out the arcs of the texts where `failed`. Shape: (n_texts,)."""
        keep = ~failed[self.texts()]
        return Arcs(self.labels, self.eojeols, self.eojeol[keep], self.head[keep], self.label[keep], self.score[keep])

    def to_arrow(self, texts: Sequence[str], absent: Bools) -> pa.Array:
        """Lay out as a `dependencies` column; null where `absent`. Shape: (n_texts,)."""
        text, eojeols = self.texts(), self.eojeols
        begin, end = eojeols.begin[self.eojeol], eojeols.end[self.eojeol]
        spans = zip(text.tolist(), begin.tolist(), end.tolist(), strict=True)
        struct = pa.StructArray.from_arrays(
            [
                pa.array(self.eojeol - eojeols.offsets[text] + 1, type=pa.int32()),
                pa.array([texts[t][b:e] for t, b, e in spans], type=pa.string()),
                pa.array(begin, type=pa.int32()),
                pa.array(end, type=pa.int32()),
                pa.array(self.head, type=pa.int32()),
                take_labels(self.labels, self.label),
                pa.array(self.score, type=pa.float32()),
            ],
            fields=list(ARC),
        )
        return to_list_array(np.searchsorted(text, np.arange(len(texts) + 1)), struct, absent)


def decode_heads(log_probabilities: Probabilities, n_eojeols: Ints) -> Ints:
    """Choose the head of each eojeol so that the arcs of a sentence are the best tree with one root.

    The best head of each word on its own is a tree for nearly all sentences; only the others need the spanning tree.

    Args:
      log_probabilities: of each head, 0 for the root; -inf where there is none. Shape: (batch_size, width, width + 1).
      n_eojeols: Shape: (batch_size,).

    Returns:
      Heads, 0 past a sentence's last eojeol. Shape: (batch_size, width).

    Reference: Chu and Liu, 1965; Edmonds, 1967 (maximum spanning arborescence).

    >>> scores = np.log(np.array([[[0.1, 0.0, 0.9], [0.2, 0.8, 0.0]]]) + 1e-9)  # each prefers the other: a cycle
    >>> decode_heads(scores, np.array([2])).tolist()
    [[2, 0]]
    """
    width = log_probabilities.shape[1]
    real = np.arange(width) < n_eojeols[:, None]
    heads = np.where(real, log_probabilities.argmax(2), 0)
    for row in np.flatnonzero(~are_trees(heads, real)):
        n = int(n_eojeols[row])
        heads[row, :n] = best_tree(log_probabilities[row, :n, : n + 1].astype(np.float64))
    return heads


def are_trees(heads: Ints, real: Bools) -> Bools:
    """Tell which rows are trees with one root (or empty).

    Args:
      heads: 0 for the root, else 1-based. Shape: (batch_size, width).
      real: False past a row's last eojeol. Shape: (batch_size, width).

    >>> are_trees(np.array([[2, 0], [2, 1], [0, 0]]), np.ones((3, 2), dtype=bool)).tolist()
    [True, False, False]
    """
    roots = ((heads == 0) & real).sum(1)
    above = np.concatenate((np.zeros((len(heads), 1), dtype=heads.dtype), heads), 1)
    for _ in range(max(1, int(heads.shape[1])).bit_length()):  # after k doublings: the ancestor 2^k steps up
        above = np.take_along_axis(above, above, 1)
    grounded = (above == 0).all(1)
    one_root: Bools = (roots == 1) | ~real.any(1)
    return one_root & grounded


def best_tree(scores: npt.NDArray[np.float64]) -> Ints:
    """Find the maximum spanning tree with exactly one root.

    Args:
      scores: log probabilities of heads, 0 for the root; -inf where there is none. Shape: (n, n + 1).

    Returns:
      The heads. Shape: (n,).
    """
    n = len(scores)
    finite = scores[np.isfinite(scores)]
    span = float(np.ptp(finite)) + 1.0 if finite.size else 1.0
    missing = finite.min(initial=0.0) - n * span  # worse than any gain elsewhere
    full = np.full((n + 1, n + 1), -np.inf)
    full[1:] = np.where(np.isfinite(scores), scores, missing)
    np.fill_diagonal(full, -np.inf)
    # A toll on every arc from the root that outweighs any gain: the best tree then has one.
    full[1:, 0] -= n * (n + 2) * span
    return _arborescence(full)[1:]


@dataclasses.dataclass(frozen=True, slots=True)
class _Contraction:
    """A cycle drawn together into one node, the last of the smaller graph.

    Attributes:
      cycle: its nodes. Shape: (n_cycle,).
      heads: the best head of every node before. Shape: (n,).
      outside: the nodes that are not in it, in order; node i of the smaller graph is outside[i]. Shape: (m,).
      entry: for each head outside, the node of the cycle that it is best for. Shape: (m,).
      exit: for each node outside, the node of the cycle that is its best head. Shape: (m,).
    """

    cycle: Ints
    heads: Ints
    outside: Ints
    entry: Ints
    exit: Ints

    def expand(self, smaller: Ints) -> Ints:
        """Give the heads before from those of the smaller graph: the cycle without the arc into its entry."""
        m = len(self.outside)
        heads = self.heads.copy()
        node = np.arange(1, m)
        chosen = smaller[1:m]
        heads[self.outside[1:]] = np.where(
            chosen == m, self.exit[node], np.append(self.outside, 0)[np.minimum(chosen, m)]
        )
        head = smaller[m]
        heads[self.entry[head]] = self.outside[head]
        return heads


def _arborescence(scores: npt.NDArray[np.float64]) -> Ints:
    """Best head of each node but node 0, without cycles; scores[dependent, head]."""
    contractions: list[_Contraction] = []
    while (cycle := _find_cycle(heads := _best_heads(scores))) is not None:
        outside = np.setdiff1d(np.arange(len(scores)), cycle)
        # Entering the cycle at a node costs that node's arc in it; leaving it costs nothing.
        entering = scores[np.ix_(cycle, outside)] - scores[cycle, heads[cycle]][:, None]
        leaving = scores[np.ix_(outside, cycle)]
        contractions.append(_Contraction(cycle, heads, outside, cycle[entering.argmax(0)], cycle[leaving.argmax(1)]))
        m = len(outside)
        smaller = np.full((m + 1, m + 1), -np.inf)
        smaller[:m, :m] = scores[np.ix_(outside, outside)]
        smaller[m, :m] = entering.max(0)
        smaller[:m, m] = leaving.max(1)
        scores = smaller
    for contraction in reversed(contractions):
        heads = contraction.expand(heads)
    return heads


def _best_heads(scores: npt.NDArray[np.float64]) -> Ints:
    heads = scores.argmax(1)
    heads[0] = 0
    return heads


def _find_cycle(heads: Ints) -> Ints | None:
    """Give the nodes of one cycle, or None. Node 0 is its own head and no cycle."""
    state = np.zeros(len(heads), dtype=np.int8)
    state[0] = 2
    for start in range(1, len(heads)):
        path, node = [], start
        while state[node] == 0:  # 1 on the path, 2 known to lead to no cycle
            state[node] = 1
            path.append(node)
            node = int(heads[node])
        if state[node] == 1:
            return np.array(path[path.index(node) :])
        state[path] = 2
    return None
