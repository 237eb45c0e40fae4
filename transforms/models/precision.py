"""The form that weights run in: fp32 as the reference, bf16, or int8."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def apply_precision(model: Any, precision: str, transformers: Sequence[str]) -> Any:
    """Bring a model's weights into the form that they run in.

    Args:
      model: a module with fp32 weights.
      transformers: names of the parts whose linear layers int8 is for; the small heads keep fp32.
      precision: `fp32`; `bf16`, fast where the processor or device has it; `int8`, linear layers with weights by
        output channel and activations quantised as they come, on the CPU only.

    Returns:
      The model, its layers replaced in place where the precision asks for others.

    >>> apply_precision(nn.Linear(2, 2), "bf16", ()).weight.dtype
    torch.bfloat16
    """
    if precision == "bf16":
        return model.to(torch.bfloat16)
    if precision == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the deprecation of this interface
            for name in transformers:
                quantize: Any = torch.ao.quantization.quantize_dynamic
                part = quantize(getattr(model, name), {nn.Linear}, dtype=torch.qint8)
                setattr(model, name, part)
    return model
