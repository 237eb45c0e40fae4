"""The form that weights run in, and the device: fp32 as the reference, bf16, or int8."""

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import GELUActivation

from transforms.config import DEVICES, require
from transforms.memory import bound_kernel_caches
from transforms.models.attention import attend_by_products, can_attend_by_products
from transforms.models.packed import PackedEncoder, can_run_packed


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


def apply_precision(
    model: Any,
    precision: str,
    transformers: Sequence[str],
    device: torch.device | None = None,
    heads: Sequence[str] = (),
) -> Any:
    """Bring a model's weights into the form that they run in.

    Args:
      model: a module with fp32 weights.
      precision: `fp32`; `bf16`, fast where the processor or device has it; `int8`, see Int8Linear, on the CPU only.
      transformers: names of the parts whose linear layers are replaced: by Int8Linear, on a CPU that can by
        PackedLinear, elsewhere in bf16 by RoundedLinear. The small heads and all that is no product of matrices keep
        fp32. In bf16 on a GPU an encoder that can becomes a PackedEncoder.
      device: where it will run; None for the CPU.
      heads: names of other parts with enough products to be worth it; beside int8 layers they keep fp32.

    Returns:
      The model, its layers replaced in place. It is for inference only.

    >>> apply_precision(nn.Linear(2, 2), "fp32", ()).weight.dtype
    torch.float32
    """
    on_gpu = device is not None and device.type != "cpu"
    if precision == "int8":
        _make_int8(model, transformers, heads)
    elif not on_gpu and can_pack(precision):
        _make_packed(model, _DTYPES[precision], transformers, heads)
    elif precision == "bf16":
        for name in transformers:
            part = getattr(model, name)
            runs_packed = on_gpu and hasattr(part, "config") and can_run_packed(part)
            _pack_linear_layers(part, RoundedLinear, torch.bfloat16, ("query", "key", "value") if runs_packed else ())
            if runs_packed:
                setattr(model, name, PackedEncoder(part))
        for name in heads:
            _pack_linear_layers(getattr(model, name), RoundedLinear, torch.bfloat16)
    return model


def _make_packed(model: Any, dtype: torch.dtype, transformers: Sequence[str], heads: Sequence[str]) -> None:
    bound_kernel_caches()
    for name in transformers:
        part = getattr(model, name)
        before_product = _BEFORE_PRODUCT if can_attend_by_products(part) else ()
        _pack_linear_layers(part, functools.partial(PackedLinear, dtype=dtype), dtype, before_product)
        if dtype == torch.bfloat16:
            attend_by_products(part, dtype)
    _pack_heads(model, dtype, heads)


def _make_int8(model: Any, transformers: Sequence[str], heads: Sequence[str]) -> None:
    bound_kernel_caches()
    for name in transformers:
        part = getattr(model, name)
        _replace_linear_layers(part, Int8Linear)
        attend_by_products(part, torch.bfloat16 if can_pack("bf16") else torch.float32)
    if can_pack("fp32"):
        _pack_heads(model, torch.float32, heads)


def _pack_heads(model: Any, dtype: torch.dtype, heads: Sequence[str]) -> None:
    for name in heads:
        pack = functools.partial(PackedLinear, dtype=dtype, row_step=_HEAD_ROW_STEP)
        _pack_linear_layers(getattr(model, name), pack, dtype)


_HEAD_ROW_STEP: Final = 256
"""A batch has some hundreds of eojeols, and hardly two batches the same number of them."""

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


@functools.cache
def can_pack(precision: str) -> bool:
    """Tell whether PackedLinear runs in a precision: this torch has oneDNN, and the processor what it needs for it.

    >>> can_pack("int8")
    False
    """
    operations = torch.ops.mkldnn
    if precision not in _DTYPES or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
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


_BEFORE_GELU: Final = (
    ("intermediate_act_fn", ("dense",)),
    ("activation", ("up",)),
    ("activation", ("arc_dep", "arc_head", "label_dep", "label_head")),
)
"""Names of an activation and of the linear layers before it: in encoders of BERT's kind, PairLayer, DependencyHead."""

_BEFORE_PRODUCT: Final = ("key", "value")
"""Names of the linear layers of an encoder of BERT's kind that attention multiplies as they are."""


def _pack_linear_layers(
    module: nn.Module, pack: Callable[..., nn.Module], dtype: torch.dtype, before_product: Sequence[str] = ()
) -> None:
    """Pack all linear layers below a module.

    Where GELU is known to follow one, it is packed with it; what goes straight into another product stays in `dtype`.

    Args:
      module: an encoder, a head.
      pack: makes a layer of another one: PackedLinear or RoundedLinear, with or without `activation` and `out_dtype`.
      dtype: of the products.
      before_product: names of linear layers that attention multiplies as they are.
    """
    for inner in module.modules():
        for activation, linears in _BEFORE_GELU:
            found = isinstance(getattr(inner, activation, None), GELUActivation | nn.GELU)
            if found and all(isinstance(getattr(inner, name, None), nn.Linear) for name in linears):
                for name in linears:
                    setattr(inner, name, pack(getattr(inner, name), activation="gelu", out_dtype=dtype))
                setattr(inner, activation, nn.Identity())
        if before_product and all(isinstance(getattr(inner, name, None), nn.Linear) for name in before_product):
            for name in before_product:
                setattr(inner, name, pack(getattr(inner, name), out_dtype=dtype))
    _replace_linear_layers(module, pack)


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
        # The range of a batch goes from its smallest value to its largest. Two rows more make it -1 to 1 whatever the
        # batch, so that what a token becomes does not depend on the others.
        rows = x.new_empty(scale.numel() + 2, x.shape[-1])
        torch.div(x, scale, out=rows[:-2].view(x.shape))
        rows[-2], rows[-1] = -1.0, 1.0
        product: Tensor = torch.ops.quantized.linear_dynamic(rows, self.weight, self.is_reduced)
        return torch.addcmul(self.bias, product[:-2].view(*x.shape[:-1], -1), scale)


def _replace_linear_layers(module: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, make(child))
        else:
            _replace_linear_layers(child, make)
