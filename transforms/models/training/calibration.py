"""Fitting temperatures and class priors on labelled rows that training never saw."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from transforms.codepoints import Ints
from transforms.models.batching import pack_by_length
from transforms.models.multitask import MultiTaskModel
from transforms.models.pieces import TextTokenizer
from transforms.models.spec import Calibration
from transforms.models.training.objectives import IGNORE, Objective, run_objective

MIN_TEMPERATURE: Final = 0.05
MAX_TEMPERATURE: Final = 20.0
"""Beyond these the rows are too few, or all right, and the best temperature is no number."""

NO_LOGIT: Final = -1e4
"""Stands for -inf, whose gradient by the temperature is none."""

WITH_PRIOR: Final = ("tc", "re")
"""Outputs whose class priors are fitted too: KLUE-TC's and KLUE-RE's training rows have other shares than their
development rows (사회 10 and 41 %, no_relation 29 and 60 %)."""


def collect_outputs(
    objective: Objective, model: MultiTaskModel, tokenizer: TextTokenizer, index: Ints, batch_tokens: int = 4096
) -> dict[str, tuple[Tensor, Tensor]]:
    """Run examples without gradients.

    Args:
      objective: labelled examples.
      model: in evaluation mode, its calibration not yet applied.
      tokenizer: the model's.
      index: which examples. Shape: (n,).
      batch_tokens: padded tokens in a batch.

    Returns:
      For each output the logits and labels of every known item, arcs padded with -inf to one width.
    """
    lengths = tokenizer.encode([objective.texts[i] for i in index]).pieces.lengths + tokenizer.n_special
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with torch.inference_mode():
        for batch in pack_by_length(lengths, batch_tokens):
            for name, output in run_objective(objective, model, tokenizer, index[batch]).items():
                known = output.labels != IGNORE
                found.setdefault(name, []).append((output.logits[known], output.labels[known]))
    collected = {}
    for name, parts in found.items():
        width = max(logits.shape[1] for logits, _ in parts)
        padded = [functional.pad(logits, (0, width - logits.shape[1]), value=-torch.inf) for logits, _ in parts]
        collected[name] = (torch.cat(padded), torch.cat([labels for _, labels in parts]))
    return collected


def fit_calibration(logits: Tensor, labels: Tensor, *, with_prior: bool = False, even: bool = False) -> Calibration:
    """Fit a temperature, and on request a bias for each class, by maximum likelihood.

    Args:
      logits: -inf for a class that an item cannot have. Shape: (n, n_classes).
      labels: Shape: (n,).
      with_prior: fit biases too.
      even: let each class that occurs count alike, so that the fitted probabilities hold for classes of like shares.

    Raises:
      ValueError: if there are no labelled items.

    Reference: Guo et al., 2017, https://arxiv.org/abs/1706.04599

    >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])  # says 98 %, right in 75 %
    >>> fitted = fit_calibration(logits, torch.tensor([0, 0, 0, 1]))
    >>> round(torch.softmax(logits[0] / fitted.temperature, 0)[0].item(), 2)
    0.75
    """
    if not len(labels):
        raise ValueError("Calibration must have labelled rows, got none. Give a file that has some.")
    logits = logits.detach().double().clamp(min=NO_LOGIT)
    weights = torch.ones(logits.shape[1], dtype=torch.float64)
    if even:
        weights = 1 / torch.bincount(labels.cpu(), minlength=logits.shape[1]).clamp(min=1).double()
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=with_prior)
    parameters = [log_temperature, bias] if with_prior else [log_temperature]
    optimizer = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        temperature = log_temperature.exp().clamp(MIN_TEMPERATURE, MAX_TEMPERATURE)
        loss = functional.cross_entropy(logits / temperature + bias, labels, weights) + 1e-4 * bias.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    fitted = tuple(round(float(value), 4) for value in bias.detach()) if with_prior else ()
    temperature = float(log_temperature.detach().exp().clamp(MIN_TEMPERATURE, MAX_TEMPERATURE))
    return Calibration(round(temperature, 4), fitted)


def fit_threshold(logits: Tensor, labels: Tensor, calibration: Calibration, negative: int) -> Calibration:
    """Add the bias of the negative class that gives the best micro F1 of the others.

    Args:
      logits: Shape: (n, n_classes).
      labels: Shape: (n,).
      calibration: the temperature, and the biases if there are any.
      negative: the class that does not count, KLUE-RE's no_relation.
    """
    bias = list(calibration.bias or (0.0,) * logits.shape[1])
    scaled = (logits / calibration.temperature + torch.tensor(bias)).numpy()
    gold = labels.numpy()
    best, best_f1 = 0.0, -1.0
    for shift in np.arange(-2.0, 2.01, 0.1):
        shifted = scaled.copy()
        shifted[:, negative] += shift
        guess = shifted.argmax(1)
        hits = ((guess == gold) & (gold != negative)).sum()
        f1 = 2 * hits / max(1, (guess != negative).sum() + (gold != negative).sum())
        if f1 > best_f1:
            best, best_f1 = float(shift), float(f1)
    bias[negative] = round(bias[negative] + best, 4)
    return Calibration(calibration.temperature, tuple(bias))


def calibrate(
    model: MultiTaskModel,
    tokenizer: TextTokenizer,
    objectives: Iterable[tuple[Objective, Ints]],
    relations: Sequence[str],
    no_relation: str,
    *,
    even_topics: bool = False,
) -> dict[str, Calibration]:
    """Fit the calibration of every output of some labelled examples.

    Args:
      model, tokenizer: the trained model.
      objectives: labelled examples, with the numbers of those to fit on.
      relations: the model's relation labels.
      no_relation: the one that does not count.
      even_topics: fit topics for texts of which each topic has a like share, not for shares as the examples have them.
    """
    fitted: dict[str, Calibration] = {}
    model.eval()
    for objective, index in objectives:
        for name, (logits, labels) in collect_outputs(objective, model, tokenizer, index).items():
            if name == "mention":  # its labels are partial, so that a likelihood means little
                continue
            even = even_topics and name == "tc"
            fitted[name] = fit_calibration(logits, labels, with_prior=name in WITH_PRIOR, even=even)
            if name == "re":
                fitted[name] = fit_threshold(logits, labels, fitted[name], relations.index(no_relation))
    return fitted
