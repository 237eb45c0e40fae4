"""Learning heads, and deprels given the gold heads."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.pieces import index_eojeols
from klue_beam.transforms.tasks.calibration import fit_calibration
from klue_beam.transforms.tasks.dependency.gold import DependencyExample
from klue_beam.transforms.tasks.dependency.head_final import are_head_final
from klue_beam.transforms.tasks.learning import IGNORE, Annotate, Fit, LearnBatch, Output
from klue_beam.transforms.tasks.spec import Calibration


class Tree(NamedTuple):
    """A text's arcs, one an eojeol.

    Attributes:
      heads: 1-based, 0 for the root. Shape: (n_eojeols,).
      labels: numbers of deprels. Shape: (n_eojeols,).
    """

    heads: Ints
    labels: Ints


class DependencyObjective:
    """Heads, and labels given the gold heads.

    Args:
      name: what the recipe calls it.
      examples: trees over white-space-separated words.
      deprels: the label set.
      head: a head of its own for a treebank with another scheme; None for the model's.

    Raises:
      ValueError: on a tree whose forms are not the eojeols of its text, or with a word that is its own head.
    """

    def __init__(
        self,
        name: str,
        examples: Sequence[DependencyExample],
        deprels: Sequence[str],
        head: nn.Module | None = None,
    ) -> None:
        self.name = name
        self.texts = [example.text for example in examples]
        for example in examples:
            if example.text.split() != list(example.forms) or any(
                head == number for number, head in enumerate(example.heads, 1)
            ):
                raise ValueError(
                    f"A tree must be over white-space-separated words, none its own head, got {example.guid}: "
                    f"{example.text[:40]!r}. Leave the sentence out."
                )
        if unknown := sorted({deprel for example in examples for deprel in example.deprels} - set(deprels)):
            raise ValueError(
                f"A tree's deprels must be out of {', '.join(deprels)}, got {unknown[0]!r}. Correct the file, or give "
                "it as `dp_aux`, which has labels of its own."
            )
        numbers = {deprel: number for number, deprel in enumerate(deprels)}
        self.trees = [Tree(np.array(e.heads), np.array([numbers[deprel] for deprel in e.deprels])) for e in examples]
        self._head = head

    def known(self) -> bytes:
        """See Objective: the trees."""
        return b"".join(column.tobytes() for tree in self.trees for column in tree)

    def outputs(self, batch: LearnBatch) -> dict[str, Output]:
        """See Objective: arc and deprel."""
        parser = self._head if self._head is not None else batch.heads["dependency"]
        return score_trees(parser, batch, [self.trees[i] for i in batch.index])


def score_trees(parser: Any, batch: LearnBatch, trees: Sequence[Tree]) -> dict[str, Output]:
    """Score the arcs of a batch, and the labels of the arcs that it has.

    Args:
      parser: a DependencyHead, which scores them.
      batch: the batch.
      trees: of each text; an empty one where there is none, which is left out.
    """
    where = index_eojeols(batch.encoded, np.arange(len(trees)), batch.inputs.n_prefix)
    arcs, dependents, candidates = parser(
        batch.states.hidden, *(to_tensor(column, batch.device) for column in (where.first, where.last, where.n_eojeols))
    )
    heads, labels = zip(*trees, strict=True)
    gold, known = (to_tensor(_pad(rows, where.first.shape[1]), batch.device) for rows in (heads, labels))
    label_logits = parser.score_labels(dependents, candidates, gold.clamp(min=0))
    return {
        "arc": Output(arcs.float().flatten(0, 1), gold.flatten(), is_padded=True),
        "deprel": Output(label_logits.float().flatten(0, 1), known.flatten(), is_padded=True),
    }


def _pad(rows: Sequence[Ints], width: int) -> Ints:
    padded = np.full((len(rows), width), IGNORE, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


class TaughtTrees:
    """The trees that a teacher finds in texts without labels, each text parsed once.

    Of trees a student learns more than the teacher's distributions: its best one, as if it were gold, and the labels of
    that one's arcs, since what the teacher's decoding knows of trees is in none of its distributions over single heads.

    Reference (self-training of parsers): McClosky et al., 2006, https://aclanthology.org/N06-1020
    """

    def __init__(self, texts: Sequence[str], annotate: Annotate) -> None:
        self._texts, self._annotate = texts, annotate
        self._trees: dict[int, Tree] = {}

    def outputs(self, batch: LearnBatch) -> dict[str, Output]:
        """Give arc and deprel of a batch of the texts."""
        if fresh := [i for i in batch.index.tolist() if i not in self._trees]:
            texts = [self._texts[i] for i in fresh]
            found = self._annotate(texts)
            # Arcs tell their eojeols by the number in all texts; one that is too long for a parser has none.
            offsets = np.cumsum([0, *(len(text.split()) for text in texts)])
            bounds = np.searchsorted(found.eojeol, offsets)
            for i, begin, end in zip(fresh, bounds[:-1], bounds[1:], strict=True):
                self._trees[i] = Tree(found.head[begin:end], found.label[begin:end])
        return score_trees(batch.heads["dependency"], batch, [self._trees[i] for i in batch.index.tolist()])


def fit_trees(fit: Fit, objective: DependencyObjective) -> tuple[dict[str, Calibration], bool]:
    """Fit the temperatures of heads and deprels, and tell whether all trees are head-final."""
    fitted = {name: fit_calibration(*items) for name, items in fit.collect(objective).items()}
    trees = [tree.heads[None] for tree in objective.trees]
    return fitted, all(are_head_final(heads, heads >= 0).all() for heads in trees)
