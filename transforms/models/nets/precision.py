"""The form that weights run in, and the device: fp32 as the reference, bf16, or int8."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation

from klue_beam.schemas.config import DEVICES, require
from klue_beam.transforms.base.memory import bound_kernel_caches
from klue_beam.transforms.models.nets.attention import attend_by_products, can_attend_by_products
from klue_beam.transforms.models.nets.linear import DTYPES, Int8Linear, PackedLinear, RoundedLinear, can_pack
from klue_beam.transforms.models.nets.unpadded import UnpaddedEncoder, can_run_unpadded


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
    plain: Mapping[str, Tensor] | None = None,
) -> Any:
    """Bring a model's weights into the form that they run in.

    Args:
      model: a module with fp32 weights.
      precision: `fp32`; `bf16`, fast where the processor or device has it; `int8`, see Int8Linear, on the CPU only.
      transformers: names of the parts whose linear layers are replaced: by Int8Linear, on a CPU that can by
        PackedLinear, elsewhere in bf16 by RoundedLinear. The small heads and all that is no product of matrices keep
        fp32. In bf16 on a GPU an encoder that can becomes a UnpaddedEncoder.
      device: where it will run; None for the CPU.
      heads: names of other parts with enough products to be worth it; beside int8 layers they keep fp32.
      plain: what an encoder takes, of a plain sentence, by which int8 tells the input channels with outliers; None to
        take none apart.

    Returns:
      The model, its layers replaced in place. It is for inference only.

    >>> apply_precision(nn.Linear(2, 2), "fp32", ()).weight.dtype
    torch.float32
    """
    on_gpu = device is not None and device.type != "cpu"
    if precision == "int8":
        _make_int8(model, transformers, heads, plain)
    elif not on_gpu and can_pack(precision):
        _make_packed(model, DTYPES[precision], transformers, heads)
    elif precision == "bf16":
        for name in transformers:
            part = getattr(model, name)
            runs_unpadded = on_gpu and can_run_unpadded(part)
            _pack_linear_layers(part, RoundedLinear, torch.bfloat16, _BEFORE_UNPADDED if runs_unpadded else ())
            if runs_unpadded:
                setattr(model, name, UnpaddedEncoder(part))
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


def _make_int8(
    model: Any, transformers: Sequence[str], heads: Sequence[str], plain: Mapping[str, Tensor] | None
) -> None:
    bound_kernel_caches()
    for name in transformers:
        part = getattr(model, name)
        outliers = find_outliers(part, plain) if plain is not None and hasattr(part, "config") else {}
        _replace_linear_layers(part, functools.partial(_make_int8_layer, outliers=outliers))
        attend_by_products(part, torch.bfloat16 if can_pack("bf16") else torch.float32)
    if can_pack("fp32"):
        _pack_heads(model, torch.float32, heads)


def _make_int8_layer(linear: nn.Linear, outliers: Mapping[nn.Module, int]) -> Int8Linear:
    return Int8Linear(linear, outliers.get(linear))


def find_outliers(encoder: Any, plain: Mapping[str, Tensor]) -> dict[nn.Module, int]:
    """Find the input channel of each linear layer that has the largest value on some sentences.

    It is the same one on nearly any sentence, as Kovaleva et al. found, 2021, "BERT Busters",
    https://arxiv.org/abs/2105.06990

    Args:
      encoder: of transformers.
      plain: what it takes.

    Returns:
      By layer, for those that have more than one channel.
    """
    found: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[layer] = int(inputs[0].abs().flatten(0, -2).amax(0).argmax())

    layers = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear) and layer.in_features > 1]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    with torch.inference_mode():
        encoder.eval()(**plain)
    for hook in hooks:
        hook.remove()
    return found


def _pack_heads(model: Any, dtype: torch.dtype, heads: Sequence[str]) -> None:
    for name in heads:
        pack = functools.partial(PackedLinear, dtype=dtype, row_step=_HEAD_ROW_STEP)
        _pack_linear_layers(getattr(model, name), pack, dtype)


_HEAD_ROW_STEP: Final = 256
"""A batch has some hundreds of eojeols, and hardly two batches the same number of them."""

_BEFORE_GELU: Final = (
    ("intermediate_act_fn", ("dense",)),
    ("activation", ("up",)),
)
"""Names of an activation and of the linear layers before it: in encoders of BERT's kind, PairLayer."""

_BEFORE_PRODUCT: Final = ("key", "value")
"""Names of the linear layers of an encoder of BERT's kind that attention multiplies as they are."""

_BEFORE_UNPADDED: Final = ("query", *_BEFORE_PRODUCT)
"""The same of attention in a UnpaddedEncoder, which does not scale queries beforehand."""


def _pack_linear_layers(
    module: nn.Module, pack: Callable[..., nn.Module], dtype: torch.dtype, before_product: Sequence[str] = ()
) -> None:
    """Pack all linear layers below a module.

    Where GELU is known to follow one, it is packed with it; what goes straight into another product stays in `dtype`.
    The layers of a head that can `join` those of its layers that read the same words become one.

    Args:
      module: an encoder, a head.
      pack: makes a layer of another one: PackedLinear or RoundedLinear, with or without `activation` and `out_dtype`.
      dtype: of the products.
      before_product: names of linear layers that attention multiplies as they are.
    """
    for inner in module.modules():
        join: Any = getattr(inner, "join", None)
        if join is not None:
            join(functools.partial(pack, activation="gelu", out_dtype=dtype))
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


def _replace_linear_layers(module: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, make(child))
        else:
            _replace_linear_layers(child, make)
