"""Running units through a model in batches, whatever some of them do to it or to the device's memory."""

import logging
from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.text.batching import BATCH_COST_TOKENS, batch_by_length

MODEL_ERRORS: Final = (RuntimeError, ValueError, IndexError, FloatingPointError)
"""What a model raises on a sentence that it cannot take."""


class TokenBudget:
    """How many tokens an engine puts into one forward pass; for good fewer once they did not fit the device's memory.

    Args:
      tokens: at most so many tokens, padding included.
      batch_cost_tokens: as in `batch_by_length`.

    >>> budget = TokenBudget(4096)
    >>> budget.shrink(failed=3000)
    >>> budget.tokens
    1500
    """

    def __init__(self, tokens: int, batch_cost_tokens: int = BATCH_COST_TOKENS["cpu"]) -> None:
        self.tokens, self.batch_cost_tokens = tokens, batch_cost_tokens

    def batch(self, lengths: Ints) -> list[Ints]:
        """Put units of these lengths into batches, as `batch_by_length` does."""
        return batch_by_length(lengths, self.tokens, self.batch_cost_tokens)

    def shrink(self, failed: int) -> None:
        """Take at most half of what did not fit from now on."""
        self.tokens = min(self.tokens, failed) // 2
        logging.getLogger(__name__).warning(
            "%d tokens did not fit the device's memory; at most %d go into a batch from now on.", failed, self.tokens
        )


def run_batches(
    units: Ints, lengths: Ints, budget: TokenBudget, forward: Callable[[Ints], None], try_plain: Callable[[], None]
) -> dict[int, str]:
    """Run units in batches of like length.

    A batch that fails is cut in two until the units that fail are alone. One that does not fit the device's memory
    shrinks the budget, and what is left is batched anew; a unit that does not fit alone fails.

    Args:
      units: numbers of the units. Shape: (n_units,).
      lengths: tokens of each. Shape: (n_units,).
      budget: how many tokens, padding included, go into a batch.
      forward: runs some of the units; it must leave nothing behind where it raises.
      try_plain: runs a plain sentence.

    Returns:
      The units that failed, each with its reason.

    Raises:
      RuntimeError: if every unit failed and the plain sentence fails too: then the model is broken, not the text.
    """
    failures: dict[int, str] = {}
    waiting = budget.batch(lengths)[::-1]
    while waiting:
        index = waiting.pop()
        error = _try(forward, units[index])
        if error is None:
            continue
        if len(index) == 1:
            failures[int(units[index[0]])] = f"{type(error).__name__}: {error}"
        elif isinstance(error, torch.OutOfMemoryError):
            budget.shrink(failed=int(lengths[index].max()) * len(index))
            rest = np.concatenate([index, *waiting[::-1]])
            waiting = [rest[batch] for batch in budget.batch(lengths[rest])[::-1]]
        else:
            first, second = np.array_split(index, 2)
            waiting += [second, first]
    if failures and len(failures) == len(units):
        try:
            try_plain()
        except MODEL_ERRORS as error:
            raise RuntimeError(
                f"The model must work on a plain sentence, got {type(error).__name__}: {error} It failed on all "
                f"{len(units)} of a batch, too. Check its files, or give another model."
            ) from error
    return failures


def _try(forward: Callable[[Ints], None], units: Ints) -> Exception | None:
    """Run units; give what was raised without its traceback, which holds the tensors of the pass in memory."""
    try:
        forward(units)
    except MODEL_ERRORS as error:
        return error.with_traceback(None)
    return None
