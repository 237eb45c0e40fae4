"""A smaller student learns from a teacher: what the teacher says of each item, and the states that it says it from."""

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.learning import IGNORE, LearnBatch, Output, States
from klue_beam.transforms.training.finding import find

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
    for name, ours in student.spec.label_sets().items():
        theirs = teacher.spec.label_sets()[name]
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
    outputs: Mapping[str, Output], theirs: Mapping[str, Output], states: States, their_states: States
) -> Tensor:
    """Measure how far a student is from its teacher on a batch.

    It is the cross entropy between both models' distributions over each output's classes, less the teacher's entropy,
    at TEMPERATURE; and the squared distance of the last states and of those that pairs start from, as a share of the
    teacher's mean square.

    Args:
      outputs, theirs: of the student and of the teacher, for the same batch.
      states, their_states: what both encoders made of it.

    Reference: Hinton et al., 2015, https://arxiv.org/abs/1503.02531 (logits); Jiao et al., 2020,
    https://arxiv.org/abs/1909.10351 (states).
    """
    losses = [_divergence(output, theirs[name].logits) for name, output in outputs.items()]
    token = states.mask.bool()
    for ours, other in ((states.hidden, their_states.hidden), (states.lower, their_states.lower)):
        goal = other[token].float()
        losses.append((ours[token].float() - goal).square().mean() / goal.square().mean())
    return torch.stack(losses).sum()


def _divergence(output: Output, their_logits: Tensor) -> Tensor:
    ours = torch.log_softmax(output.logits.clamp(min=_NO_LOGIT) / TEMPERATURE, -1)
    goal = torch.log_softmax(their_logits.clamp(min=_NO_LOGIT) / TEMPERATURE, -1)
    each = functional.kl_div(ours, goal, reduction="none", log_target=True).sum(-1)
    real = output.labels != IGNORE if output.is_padded else torch.ones_like(output.labels, dtype=torch.bool)
    weights = real.to(each.dtype)
    return output.weight * TEMPERATURE**2 * (each * weights).sum() / weights.sum().clamp(min=1e-6)


class TextObjective:
    """Sentences without labels, of which only a teacher says something: what each task can learn so, see `Task.teach`.

    Args:
      name: what the recipe calls it.
      texts: the sentences.
      teacher: annotates them where a task asks for it, each batch when it comes.
      tokenizer: the teacher's.
      tasks: what is learnt.
    """

    def __init__(
        self,
        name: str,
        texts: Sequence[str],
        teacher: MultiTaskModel,
        tokenizer: TextTokenizer,
        tasks: Sequence[str],
    ) -> None:
        self.name = name
        self.texts = list(texts)
        given = [TASKS[task].teach(self.texts, functools.partial(find, teacher, tokenizer, task)) for task in tasks]
        self._teachings = [teaching for teaching in given if teaching is not None]

    def known(self) -> bytes:
        """See Objective: nothing."""
        return b""

    def outputs(self, batch: LearnBatch) -> dict[str, Output]:
        """See Objective: those of every task that learns so."""
        return {name: output for teaching in self._teachings for name, output in teaching(batch).items()}
