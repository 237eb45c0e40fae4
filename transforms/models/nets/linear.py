"""Linear layers that round what they take: by oneDNN's packed products, by torch's own in bf16, and in int8."""

import contextlib
import functools
import math
import warnings
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Of the precisions whose products are of floating-point numbers."""


@functools.cache
def can_pack(precision: str) -> bool:
    """Tell whether PackedLinear runs in a precision: this torch has oneDNN, and the processor what it needs for it.

    >>> can_pack("int8")
    False
    """
    operations = torch.ops.mkldnn
    if precision not in DTYPES or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not hasattr(operations, "_linear_pointwise"):
        return False
    return precision == "fp32" or bool(operations._is_mkldnn_bf16_supported())


class PackedLinear(nn.Module):
    """A linear layer that oneDNN computes, its weights laid out for that beforehand.

    torch itself gives fp32 products to MKL, which leaves half of a processor idle that is not Intel's, and it lays out
    weights of bf16 anew at each call.

    Args:
      linear: the layer that it takes the place of, fp32.
      dtype: what its inputs are rounded to, and its weights: float32 or bfloat16.
      activation: `gelu` where that follows, or `none`.
      out_dtype: of what comes out, which is rounded to `dtype` before.
      row_step: rows of no meaning are added up to a multiple of it: oneDNN compiles a kernel for each number of rows,
        which takes longer than a small product.
    """

    usual_rows = 2048
    """What the weights are laid out for; other numbers of rows are right, too."""

    def __init__(
        self,
        linear: nn.Linear,
        dtype: torch.dtype,
        activation: str = "none",
        out_dtype: torch.dtype = torch.float32,
        row_step: int = 1,
    ) -> None:
        super().__init__()
        self.dtype, self.activation, self.out_dtype, self.row_step = dtype, activation, out_dtype, row_step
        weight = linear.weight.detach().to(dtype)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, self.usual_rows)
        self.bias = linear.bias.detach().to(dtype) if linear.bias is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (…, in_features) to (…, out_features)."""
        n_rows = math.prod(x.shape[:-1])
        rows = x.reshape(n_rows, x.shape[-1]).to(self.dtype)
        if self.row_step > 1:
            rows = functional.pad(rows, (0, 0, 0, -n_rows % self.row_step))
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, self.activation, [], "none")
        return product[:n_rows].to(self.out_dtype).view(*x.shape[:-1], product.shape[-1])


class RoundedLinear(nn.Module):
    """A linear layer in bf16, inputs rounded as they come: what PackedLinear is, where oneDNN is not.

    A model cast to bf16 as a whole has its sums and norms in bf16, too, and twice the error in its last states.

    Args:
      linear: the layer that it takes the place of, fp32.
      activation, out_dtype: as of PackedLinear.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none", out_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.activation, self.out_dtype = activation, out_dtype
        self.weight = nn.Parameter(linear.weight.detach().to(torch.bfloat16), requires_grad=False)
        bias = linear.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().to(torch.bfloat16), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (…, in_features) to (…, out_features)."""
        product = functional.linear(x.to(torch.bfloat16), self.weight, self.bias)
        return (functional.gelu(product) if self.activation == "gelu" else product).to(self.out_dtype)


class Int8Linear(nn.Module):
    """A linear layer in int8: weights by output channel, inputs by token, as they come.

    torch's own dynamic layers have one range for all tokens of a batch. Some tokens have values many times those of the
    others, of which little is left then, and that depends on which sentences are in the batch. Here each token is
    brought to -1 … 1 by its own middle and range, and the product brought back. Of one input channel the values are far
    beyond those of the others, for most tokens of a layer the same one: it is multiplied by itself, in fp32.

    By token: Yao et al., 2022, "ZeroQuant", https://arxiv.org/abs/2206.01861; channels apart: Dettmers et al., 2022,
    "LLM.int8()", https://arxiv.org/abs/2208.07339

    Args:
      linear: the layer that it takes the place of, fp32.
      outlier: the input channel that is taken apart, if any.
    """

    def __init__(self, linear: nn.Linear, outlier: int | None = None) -> None:
        super().__init__()
        self.outlier = outlier
        weight = linear.weight.detach().clone()
        # The range of `quantize_rows`: weights that were stored as int8 come back as the very same numbers.
        scale = (weight.abs().amax(1) / 127).clamp(min=2**-24)
        apart = []
        if outlier is not None:
            apart = [weight[:, outlier].clone()]
            weight[:, outlier] = 0.0
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        # Without these instructions two products of 8 bits overflow the 16 that they are added in: inputs get 7 bits.
        self.is_reduced = not torch.cpu._is_vnni_supported()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the deprecation of torch's quantised tensors
            quantized = torch.quantize_per_channel(weight, scale, zeros, 0, torch.qint8)
        # Where it has them oneDNN is a tenth faster than torch's choice; without them it knows nothing of 7 bits.
        with _quantized_engine("fbgemm" if self.is_reduced else "onednn"):
            self.weight: Any = torch.ops.quantized.linear_prepack(quantized, None)
        bias = linear.bias.detach() if linear.bias is not None else torch.zeros(len(weight))
        # Weights of what is not in the product of int8: each token's middle, the channel apart, and 1.
        self.aside = torch.stack([quantized.dequantize().sum(1), *apart, bias])

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (…, in_features) to (…, out_features)."""
        tokens = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        # The range of a batch goes from its smallest value to its largest. Two rows more make it -1 to 1 whatever the
        # batch, so that what a token becomes does not depend on the others.
        rows = x.new_empty(len(tokens) + 2, x.shape[-1])
        rows[-2], rows[-1] = -1.0, 1.0
        scaled = rows[:-2].copy_(tokens)
        apart = []
        if self.outlier is not None:
            # Its weights are zero, so any value does that is in the range of the others.
            scaled[:, self.outlier] = tokens[:, self.outlier - 1]
            apart = [tokens[:, self.outlier].unsqueeze(1)]
        # Two passes, but vectorised: aminmax takes ten times as long here.
        low, high = scaled.amin(1, keepdim=True), scaled.amax(1, keepdim=True)
        middle = (low + high) / 2
        # Of both sides the larger, as they are rounded: so nothing comes out beyond 1.
        scale = torch.maximum(high - middle, middle - low).clamp(min=torch.finfo(x.dtype).tiny)
        scaled.sub_(middle).div_(scale)
        product: Tensor = torch.ops.quantized.linear_dynamic(rows, self.weight, self.is_reduced)
        aside = torch.cat((middle, *apart, torch.ones_like(middle)), 1)
        found = product[:-2].mul_(scale).addmm_(aside, self.aside)
        return found.view(*x.shape[:-1], found.shape[1])


@contextlib.contextmanager
def _quantized_engine(name: str) -> Iterator[None]:
    """Lay out weights for one of torch's engines, where this torch has it; a layer keeps that of its weights."""
    before = torch.backends.quantized.engine
    if name in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
