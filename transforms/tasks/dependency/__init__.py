"""DP: a dependency tree over the eojeols of a sentence."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from klue_beam.schemas.annotation import ARC
from klue_beam.schemas.labels import DEPRELS, LABEL_SETS_VERSION
from klue_beam.schemas.options import option
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.tasks.base import Drawing, Flag, HeadCheckpoint, Label, Task
from klue_beam.transforms.tasks.checking import RowChecker, count_items, flatten, read_bools, read_numbers
from klue_beam.transforms.tasks.gold import split_held_out
from klue_beam.transforms.tasks.learnable import HeldOut
from klue_beam.transforms.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from rich.text import Text
    from torch import nn

    from klue_beam.transforms.models.text.pieces import TextTokenizer
    from klue_beam.transforms.tasks.annotator import Annotator, TaskModel
    from klue_beam.transforms.tasks.dependency.gold import DependencyExample
    from klue_beam.transforms.tasks.learning import Annotate, Fit, LearningRun, Objective, Teaching
    from klue_beam.transforms.tasks.report import Report, Rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DependencySpec(TaskSpec):
    """What a model says of DP.

    Attributes:
      deprels: the labels, in model order.
      arc_size, label_size: widths of the head.
      head_final: whether heads stand to the right of their dependents and no arcs cross, as in all of KLUE's trees; if
        not, a tree is the best of all with one root.
    """

    deprels: tuple[str, ...] = DEPRELS
    arc_size: int = 256
    label_size: int = 64
    head_final: bool = False

    def without_fit(self) -> "DependencySpec":
        """See TaskSpec."""
        return dataclasses.replace(self, head_final=False)

    def label_sets(self) -> Mapping[str, tuple[str, ...]]:
        """See TaskSpec."""
        return {"deprels": self.deprels}


@dataclasses.dataclass(frozen=True, slots=True)
class DependencyTraining:
    """How trees are learnt."""

    all_dp_rows: bool = option(False, "train on the held-out fifth of the KLUE-DP rows too")


class ParserCheckpoint(HeadCheckpoint):
    """A parser that KLUE-baseline trained."""

    title = "made by `klue-beam train`, or KLUE-baseline's dp-model.bin"

    def load(self, folder: Path) -> "tuple[nn.Module, Mapping[str, nn.Module], TextTokenizer]":
        """See HeadCheckpoint."""
        from klue_beam.transforms.tasks.dependency.klue_parser import load_parser

        encoder, head, tokenizer = load_parser(folder)
        return encoder, {"dependency": head}, tokenizer


class DependencyTask(Task):
    """See the module."""

    name = "dp"
    title = "dependency tree"
    field = pa.field("dependencies", pa.list_(ARC))
    label_field = "deprel"
    label_sets_version = LABEL_SETS_VERSION
    spec_type = DependencySpec
    own_flags = (
        Flag("dp_skipped_too_long", "longer than the encoder's positions: no dependency tree", is_absent=True),
    )
    nothing = "no dependency tree"
    counts = "arcs"
    checkpoint = ParserCheckpoint()
    counted_as = "words in trees"
    wide_heads = ("dependency",)
    kinds = ("heads", "deprels")
    data: ClassVar[Mapping[str, str]] = {
        "dp": "KLUE-DP (.tsv), CoNLL-U over eojeols, or JSON lines of tokens, heads and deprels",
        "dp_aux": "a CoNLL-U treebank with another scheme: trained through a head of its own, which is not stored",
    }
    train_options = DependencyTraining
    held_out = HeldOut(
        "klue-beam-dp-1",
        0.2,
        "the fifth of the rows that `train` leaves out: trained on the other rows of the official dev set, a model has "
        "no official dev score",
    )
    metrics: ClassVar[Mapping[str, str]] = {
        "uas": "UAS",
        "las": "LAS",
        "uas_macro_f1": "UAS, macro F1 of KLUE",
        "las_macro_f1": "LAS, macro F1 of KLUE",
        "trees_right": "sentences with every arc right",
    }
    published: ClassVar[Mapping[str, float]] = {"uas_macro_f1": 89.96, "las_macro_f1": 88.05}

    def build_heads(self, spec: DependencySpec, encoder_config: Any) -> "Mapping[str, nn.Module]":
        """See Task."""
        from klue_beam.transforms.tasks.dependency.head import DependencyHead

        size = encoder_config.hidden_size
        return {"dependency": DependencyHead(size, spec.arc_size, spec.label_size, len(spec.deprels))}

    def annotator(self, model: "TaskModel") -> "Annotator":
        """See Task."""
        from klue_beam.transforms.tasks.dependency.annotator import DependencyAnnotator

        return DependencyAnnotator(model)

    def check(self, checker: RowChecker) -> None:
        """See Task: one arc an eojeol, in order, and they make one tree."""
        column = checker.rows.column("dependencies")
        owner, items = flatten(column)
        counts, words = count_items(column), np.diff(checker.eojeols.offsets)
        parsed = read_bools(column.is_valid())
        checker.refuse(parsed & (counts != words), lambda i: f"it has {words[i]} eojeols but {counts[i]} arcs")
        begin, end = read_numbers(items, "begin"), read_numbers(items, "end")
        of_parsed = np.repeat(parsed, words)
        expected_begin, expected_end = checker.eojeols.begin[of_parsed], checker.eojeols.end[of_parsed]
        checker.refuse(
            (begin != expected_begin) | (end != expected_end),
            lambda i: f"arc {begin[i]}:{end[i]} must span the eojeol {expected_begin[i]}:{expected_end[i]}",
            owner,
        )
        checker.check_slices("arc", owner, begin, end, items.field("form"))
        first = np.repeat(np.cumsum(counts) - counts, counts)
        index, expected = read_numbers(items, "index"), np.arange(len(owner)) - first + 1
        checker.refuse(index != expected, lambda i: f"an arc's `index` must be {expected[i]}, got {index[i]}", owner)
        _check_tree(checker, owner, read_numbers(items, "head"), first, counts)

    def draw(self, row: Mapping[str, Any], drawing: Drawing) -> None:
        """See Task: eojeols nested below their heads, those of one head in the order of the sentence; or arcs."""
        from rich.text import Text
        from rich.tree import Tree

        from klue_beam.transforms.tasks.dependency.arcs import draw_arcs

        if drawing.in_order and (drawn := draw_arcs(row["dependencies"])) is not None:
            drawing.below.append(drawn)
            return
        children: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for arc in row["dependencies"]:
            children[arc["head"]].append(arc)

        def label(arc: Mapping[str, Any]) -> "Text":
            return Text.assemble(arc["form"], " ", (arc["deprel"], "cyan"))

        (root,) = children[0]
        tree = Tree(label(root), guide_style="dim")
        open_branches = [(root["index"], tree)]
        while open_branches:  # no recursion: a tree is as deep as a sentence has words
            index, branch = open_branches.pop()
            open_branches += [(child["index"], branch.add(label(child))) for child in children[index]]
        drawing.below.append(tree)

    def list_labels(self, rows: pa.RecordBatch) -> Iterator[Label]:
        """See Task: each eojeol's head, and its label."""
        for number, arcs in enumerate(rows.column("dependencies").to_pylist()):
            for one in arcs or ():
                yield Label("heads", (number, one["index"], one["head"]))
                yield Label("deprels", (number, one["index"], one["deprel"]))

    def read_gold(self, path: str) -> "Sequence[DependencyExample]":
        """See Task: KLUE-DP's files, CoNLL-U, and JSON lines of trees."""
        from klue_beam.transforms.tasks.dependency.gold import read_dependencies

        return read_dependencies(path)

    def score(self, examples: "Sequence[DependencyExample]", rows: "Rows") -> "Report":
        """See Task."""
        from klue_beam.transforms.tasks.dependency.score import score_rows

        return score_rows(examples, rows)

    def objectives(self, data: Mapping[str, str], run: "LearningRun") -> "Sequence[Objective]":
        """See Task: trees; and those of another scheme, through a head that serves training only."""
        from klue_beam.transforms.tasks.dependency.head import DependencyHead
        from klue_beam.transforms.tasks.dependency.learn import DependencyObjective
        from klue_beam.transforms.tasks.dependency.treebanks import read_head_final

        options: DependencyTraining = run.options
        spec = run.specs["dp"]
        trees = self.read_gold(data["dp"])
        learnt = list(trees) if options.all_dp_rows else split_held_out(trees, self.held_out)[0]
        found = [DependencyObjective("dp", learnt, spec.deprels)]
        if "dp_aux" in data:
            others = read_head_final(data["dp_aux"])
            deprels = sorted({deprel for tree in others for deprel in tree.deprels})
            head = DependencyHead(run.hidden_size, spec.arc_size, spec.label_size, len(deprels))
            run.extra["dp_aux"] = head
            found.append(DependencyObjective("dp_aux", others, deprels, head))
        return found

    def teach(self, texts: Sequence[str], annotate: "Annotate") -> "Teaching":
        """See Task: the teacher's trees, as if they were gold, and its distributions."""
        from klue_beam.transforms.tasks.dependency.learn import TaughtTrees

        return TaughtTrees(texts, annotate).outputs

    def calibrate(self, fit: "Fit") -> Any:
        """See Task: the temperatures of heads and deprels, and whether all trees are head-final."""
        from klue_beam.transforms.tasks.dependency.learn import DependencyObjective, fit_trees

        objective = DependencyObjective("dp", fit.examples, fit.spec.of["dp"].deprels)
        fitted, head_final = fit_trees(fit, objective)
        return fit.spec.with_calibration(fitted).change("dp", head_final=head_final)

    def describe_fit(self, spec: Any) -> Sequence[str]:
        """See Task."""
        return ["trees: head-final, without crossing arcs"] if spec.of["dp"].head_final else []


def _check_tree(checker: RowChecker, owner: Ints, head: Ints, first: Ints, counts: Ints) -> None:
    outside = (head < 0) | (head > counts[owner])
    checker.refuse(outside, lambda i: f"a head must be 0 to {counts[owner[i]]}, got {head[i]}", owner)
    roots = np.bincount(owner[head == 0], minlength=len(counts))
    checker.refuse((roots != 1) & (counts > 0), lambda i: f"a dependency tree must have one root, got {roots[i]}")
    # Pointer jumping: after k rounds every arc points 2^k heads up, and roots point at themselves.
    ancestor = np.where(head == 0, np.arange(len(head)), first + head - 1)
    for _ in range(int(counts.max(initial=1)).bit_length()):
        ancestor = ancestor[ancestor]
    checker.refuse(head[ancestor] != 0, lambda i: f"the heads make a cycle above eojeol {i - first[i] + 1}", owner)


TASK: Final = DependencyTask()
