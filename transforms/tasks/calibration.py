"""Fitting temperatures, class priors and thresholds on the logits of labelled items that training never saw."""

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from klue_beam.transforms.tasks.spec import Calibration

MIN_TEMPERATURE: Final = 0.05
MAX_TEMPERATURE: Final = 20.0
"""Beyond these the rows are too few, or all right, and the best temperature is no number."""

NO_LOGIT: Final = -1e4
"""Stands for -inf, whose gradient by the temperature is none."""


def fit_calibration(logits: Tensor, labels: Tensor, *, with_prior: bool = False) -> Calibration:
    """Fit a temperature, and on request a bias for each class, by maximum likelihood.

    Args:
      logits: -inf for a class that an item cannot have. Shape: (n, n_classes).
      labels: Shape: (n,).
      with_prior: fit biases too.

    Raises:
      ValueError: if there are no labelled items, or a logit is no number.

    Reference: Guo et al., 2017, https://arxiv.org/abs/1706.04599

    >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])  # says 98 %, right in 75 %
    >>> fitted = fit_calibration(logits, torch.tensor([0, 0, 0, 1]))
    >>> round(torch.softmax(logits[0] / fitted.temperature, 0)[0].item(), 2)
    0.75
    """
    if not len(labels):
        raise ValueError("Calibration must have labelled rows, got none. Give a file that has some.")
    logits = logits.detach().double().clamp(min=NO_LOGIT)
    if not torch.isfinite(logits).all():
        raise ValueError("A model's scores must be numbers to be fitted, got ones that are not. Train it again.")
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=with_prior)
    parameters = [log_temperature, bias] if with_prior else [log_temperature]
    optimizer = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        temperature = log_temperature.exp().clamp(MIN_TEMPERATURE, MAX_TEMPERATURE)
        loss = functional.cross_entropy(logits / temperature + bias, labels) + 1e-4 * bias.square().sum()
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
