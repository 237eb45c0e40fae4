"""Where an engine's time goes: its tokenizer and its model are timed from outside, what is left is decoding."""

from collections.abc import Callable, Sequence
from inspect import isfunction
from typing import Any

import torch

from benchmarks.timing import Spent, now, time_call
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class EngineWatch:
    """Times each call of the tokenizers and models of some engines, from now on.

    Args:
      engines: from `load_engines` or `share_engines`, with models on the CPU: a device would still be at work when a
        call returns.
      keep_calls: whether to keep what the models were called with, so that `replay` can call them again; all hidden
        states of the texts stay in memory.

    Attributes:
      keep_calls: may be changed between calls.
      tokenise, forward: spent in tokenizers, and in models with their heads.
      calls: the calls of models that were kept.
    """

    def __init__(self, engines: Sequence[Any], *, keep_calls: bool = False) -> None:
        self.tokenise = self.forward = Spent(0.0, 0.0)
        self.calls: list[Call] = []
        self.keep_calls, self._depth = keep_calls, 0
        self._models = [engine.model for engine in engines]
        for engine in engines:
            self._wrap(engine.tokenizer, "encode", "tokenise")
            for part, name in _list_parts(engine.model):
                self._wrap(part, name, "forward")

    def clear(self) -> None:
        """Forget what was seen so far."""
        self.tokenise = self.forward = Spent(0.0, 0.0)
        self.calls.clear()

    def replay(self) -> Spent:
        """Call the models again, as they were called, and nothing else: the bare arithmetic of the same batches.

        Raises:
          RuntimeError: if no call was kept.
        """
        if not self.calls:
            raise RuntimeError("The models must have been called while calls were kept, got no call to repeat.")

        def call_all() -> None:
            for method, args, kwargs in self.calls:
                method(*args, **kwargs)

        self._depth += 1  # these calls are neither timed nor kept
        try:
            with torch.inference_mode():
                return time_call(call_all)[1]
        finally:
            self._depth -= 1

    def padding_share(self) -> float:
        """Give the share of padding among the tokens that encoders were called with, of the calls that were kept.

        Raises:
          RuntimeError: if no call was kept.
        """
        masks = [
            kwargs["attention_mask"] if kwargs else args[1]
            for method, args, kwargs in self.calls
            if any(getattr(method, "__self__", None) is model for model in self._models)
        ]
        if not masks:
            raise RuntimeError("The models must have been called while calls were kept, got no call to count.")
        return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    def _wrap(self, part: Any, name: str, stage: str) -> None:
        method = getattr(part, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._depth:  # a head that calls a method of its own is one call
                return method(*args, **kwargs)
            if stage == "forward" and self.keep_calls:
                self.calls.append((method, args, kwargs))
            self._depth += 1
            began = now()
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                setattr(self, stage, getattr(self, stage).plus(now().minus(began)))

        setattr(part, name, timed)


def _list_parts(model: Any) -> list[tuple[Any, str]]:
    """List what an engine calls: a checkpoint as a whole, of a multi-task model the encoder and each head."""
    parts = [(model, "forward")]
    if isinstance(model, MultiTaskModel):
        for name, head in model.named_children():
            if name != "encoder":
                parts += [
                    (head, method)
                    for method, function in vars(type(head)).items()
                    if isfunction(function) and not method.startswith("_")
                ]
    return parts
