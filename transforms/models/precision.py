"""The form that weights run in, and the device: fp32 as the reference, bf16, or int8."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transforms.config import DEVICES, require


def choose_device(name: str, precision: str) -> torch.device:
    """Tell where models run.

    Args:
      name: one of DEVICES; `auto` is the GPU where torch sees one, but for int8, which runs on the CPU alone.
      precision: of the models.

    Raises:
      ValueError: if a GPU is asked for and there is none, or it cannot run the precision.

    >>> choose_device("auto", "int8")
    device(type='cpu')
    """
    require(name in DEVICES, f"`device` must be one of {', '.join(DEVICES)}", name, "Choose one of them.")
    if name == "cpu" or (name == "auto" and (precision == "int8" or not torch.cuda.is_available())):
        return torch.device("cpu")
    require(
        precision != "int8",
        "`device` must be cpu with the precision int8",
        name,
        "Leave it out, or choose the precision bf16.",
    )
    require(
        torch.cuda.is_available(),
        f"`device` must be one that torch {torch.__version__} sees",
        name,
        "Leave it out to run on the CPU, or install the GPU's driver and a torch built for it.",
    )
    return torch.device("cuda")


def apply_precision(model: Any, precision: str, transformers: Sequence[str]) -> Any:
    """Bring a model's weights into the form that they run in.

    Args:
      model: a module with fp32 weights.
      transformers: names of the parts whose linear layers int8 is for; the small heads keep fp32.
      precision: `fp32`; `bf16`, fast where the processor or device has it; `int8`, see Int8Linear, on the CPU only.

    Returns:
      The model, its layers replaced in place where the precision asks for others.

    >>> apply_precision(nn.Linear(2, 2), "bf16", ()).weight.dtype
    torch.bfloat16
    """
    if precision == "bf16":
        return model.to(torch.bfloat16)
    if precision == "int8":
        for name in transformers:
            _replace_linear_layers(getattr(model, name))
    return model


class Int8Linear(nn.Module):
    """A linear layer in int8: weights by output channel, inputs by token, as they come.

    torch's own dynamic layers have one scale for all tokens of a batch. Some tokens have values many times those of
    the others, of which little is left then, and that depends on which sentences are in the batch. Here each token is
    divided by its largest value before, and the product multiplied by it.

    By token: Yao et al., 2022, "ZeroQuant", https://arxiv.org/abs/2206.01861

    Args:
      linear: the layer that it takes the place of, fp32.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        # The range of `quantize_rows`: weights that were stored as int8 come back as the very same numbers.
        scale = (weight.abs().amax(1) / 127).clamp(min=2**-24)
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the deprecation of torch's quantised tensors
            quantized = torch.quantize_per_channel(weight, scale, zeros, 0, torch.qint8)
        self.weight: Any = torch.ops.quantized.linear_prepack(quantized, None)
        self.bias = linear.bias.detach() if linear.bias is not None else torch.zeros(len(weight))
        # Without these instructions two products of 8 bits overflow the 16 that they are added in: inputs get 7 bits.
        self.is_reduced = not torch.cpu._is_vnni_supported()

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (…, in_features) to (…, out_features)."""
        # Two passes, but vectorised: vector_norm and aminmax take ten times as long here.
        scale = x.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        product: Tensor = torch.ops.quantized.linear_dynamic(x / scale, self.weight, self.is_reduced)
        return torch.addcmul(self.bias, product, scale)


def _replace_linear_layers(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            _replace_linear_layers(child)
