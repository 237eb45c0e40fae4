"""A smaller student learns from a teacher: what the teacher says of each item, and the states that it says it from."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from transforms.codepoints import Ints
from transforms.models.engine import MultiTaskEngine
from transforms.models.multitask import MultiTaskModel
from transforms.models.pieces import EncodedTexts, PaddedInputs, TextTokenizer, index_chars
from transforms.models.training.objectives import (
    IGNORE,
    Output,
    States,
    Tree,
    device_of,
    tag_logits,
    tree_outputs,
    whole_units,
)

TEMPERATURE = 2.0
"""Both models' logits are divided by it, so that what the teacher holds for possible counts, too."""

_NO_LOGIT = -1e4
"""Stands for -inf, whose difference with another -inf is no number."""


def check_teacher(
    teacher: MultiTaskModel, teacher_tokenizer: TextTokenizer, student: MultiTaskModel, tokenizer: TextTokenizer
) -> None:
    """Refuse a teacher that the student cannot learn from.

    Raises:
      ValueError: if it lacks a task or label, reads other pieces, or has states of another width.
    """
    if lacking := [task for task in student.spec.tasks if task not in teacher.spec.tasks]:
        raise ValueError(
            f"A teacher must have the student's tasks, got one without {lacking[0]}. Give another `--teacher`, or "
            f"leave {lacking[0]} out of `--task`."
        )
    for name in ("topics", "ner_types", "mention_types", "relations", "deprels"):
        ours, theirs = getattr(student.spec, name), getattr(teacher.spec, name)
        if ours != theirs:
            raise ValueError(
                f"A teacher must have the student's labels, got other {name}: {', '.join(theirs) or 'none'}. "
                "Give one that was trained for the same tasks together."
            )
    if teacher_tokenizer.tokenizer.get_vocab() != tokenizer.tokenizer.get_vocab():
        raise ValueError(
            "A teacher must read the same pieces as its student, got another vocabulary. Give the teacher as `--base`."
        )
    widths = [model.encoder.config.hidden_size for model in (student, teacher)]
    if widths[0] != widths[1]:
        raise ValueError(
            f"A student's states must be as wide as its teacher's, {widths[1]}, got {widths[0]}. "
            "Give the teacher as `--base`, with fewer `--layers`."
        )


def distillation_loss(
    outputs: Mapping[str, Output],
    theirs: Mapping[str, Output],
    states: States,
    their_states: States,
    state_weight: float = 1.0,
) -> Tensor:
    """Measure how far a student is from its teacher on a batch.

    It is the cross entropy between both models' distributions over each output's classes, less the teacher's entropy,
    at TEMPERATURE; and the squared distance of the last states and of those that pairs start from, as a share of the
    teacher's mean square.

    Args:
      outputs, theirs: of the student and of the teacher, for the same batch.
      states, their_states: what both encoders made of it.
      state_weight: how much the distance of the states counts.

    Reference: Hinton et al., 2015, https://arxiv.org/abs/1503.02531 (logits); Jiao et al., 2020,
    https://arxiv.org/abs/1909.10351 (states).
    """
    losses = [_divergence(output, theirs[name].logits) for name, output in outputs.items()]
    token = states.mask.bool()
    for ours, other in ((states.hidden, their_states.hidden), (states.lower, their_states.lower)):
        goal = other[token].float()
        losses.append(state_weight * (ours[token].float() - goal).square().mean() / goal.square().mean())
    return torch.stack(losses).sum()


def average_outputs(said: Sequence[Mapping[str, Output]]) -> Mapping[str, Output]:
    """Average what several models say of a batch: the logits become logarithms of their mean probabilities.

    >>> one, other = (Output(torch.tensor([[0.0, x]]), torch.zeros(1).long()) for x in (0.0, 9.0))
    >>> torch.softmax(average_outputs([{"tc": one}, {"tc": other}])["tc"].logits, -1)[0, 1].item() > 0.74
    True
    """
    if len(said) == 1:
        return said[0]
    averaged = {}
    for name, first in said[0].items():
        logs = torch.stack([torch.log_softmax(outputs[name].logits.clamp(min=_NO_LOGIT), -1) for outputs in said])
        averaged[name] = dataclasses.replace(first, logits=logs.logsumexp(0) - math.log(len(said)))
    return averaged


def _divergence(output: Output, their_logits: Tensor) -> Tensor:
    ours = torch.log_softmax(output.logits.clamp(min=_NO_LOGIT) / TEMPERATURE, -1)
    goal = torch.log_softmax(their_logits.clamp(min=_NO_LOGIT) / TEMPERATURE, -1)
    each = functional.kl_div(ours, goal, reduction="none", log_target=True).sum(-1)
    real = output.labels != IGNORE if output.is_padded else torch.ones_like(output.labels, dtype=torch.bool)
    weights = real.to(each.dtype)
    return output.weight * TEMPERATURE**2 * (each * weights).sum() / weights.sum().clamp(min=1e-6)


class TextObjective:
    """Sentences without labels, of which only a teacher says something: topic, tags and trees.

    Of topics and tags its distributions are learnt. Of trees also its best one, as if it were gold, and the labels of
    that one's arcs: what the teacher's decoding knows of trees is in none of its distributions over single heads.

    Args:
      name: what the recipe calls it.
      texts: the sentences.
      teacher: parses them, each batch when it comes.
      tokenizer: the teacher's.

    Reference (self-training of parsers): McClosky et al., 2006, https://aclanthology.org/N06-1020
    """

    def __init__(self, name: str, texts: Sequence[str], teacher: MultiTaskModel, tokenizer: TextTokenizer) -> None:
        self.name = name
        self.texts = list(texts)
        self._parser = MultiTaskEngine(
            teacher, tokenizer, ["dp"], token_budget=4096, max_pairs=1, device=device_of(teacher)
        )
        self._parsed: dict[int, Tree] = {}

    def known(self) -> bytes:
        """See Objective: nothing."""
        return b""

    def outputs(
        self, model: MultiTaskModel, states: States, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints
    ) -> dict[str, Output]:
        """See Objective: tc, ner and mention, no label known; arc and deprel."""
        logits: dict[str, Tensor] = {}
        tasks = model.spec.tasks
        if "tc" in tasks:
            logits["tc"] = model.topic(states.hidden, states.mask).float()
        if "ner" in tasks:
            chars = index_chars(encoded, whole_units(encoded), inputs.n_prefix)
            logits["ner"] = tag_logits(model.entity, states.hidden, chars)
            if model.spec.mention_types:
                logits["mention"] = tag_logits(model.mention, states.hidden, chars)
        outputs = {
            name: Output(scores, torch.full_like(scores[:, 0], IGNORE).long()) for name, scores in logits.items()
        }
        if "dp" in tasks:
            outputs |= tree_outputs(model.dependency, states.hidden, encoded, inputs, self._trees(index))
        return outputs

    def _trees(self, index: Ints) -> list[Tree]:
        """Give the teacher's tree of each text; each is parsed once."""
        fresh = [i for i in index.tolist() if i not in self._parsed]
        if fresh:
            found = self._parser.annotate([self.texts[i] for i in fresh])
            if found.arcs is None or found.eojeols is None:
                raise AssertionError("a parser gives arcs")
            bounds = np.searchsorted(found.arcs.eojeol, found.eojeols.offsets)
            for i, begin, end in zip(fresh, bounds[:-1], bounds[1:], strict=True):
                self._parsed[i] = Tree(found.arcs.head[begin:end], found.arcs.label[begin:end])
        return [self._parsed[i] for i in index.tolist()]
