"""Saving and loading multi-task models: safetensors, matrices as int8 by output channel with fp16 scales."""

from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer

from klue_beam.transforms.models.checkpoints.folders import find_lender, resolve_folder
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.nets.encoders import build_encoder
from klue_beam.transforms.models.text.pieces import TextTokenizer

WEIGHTS_FILE: Final = "model.safetensors"
SCALE_SUFFIX: Final = ".scale"


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Store a matrix as int8 with a scale a row (an output channel of a linear layer, a piece of an embedding).

    Args:
      weight: Shape: (rows, …), floating point.

    Returns:
      The int8 weights and their fp16 scales of shape (rows,), so that weight is about int8 times scale.

    >>> q, scale = quantize_rows(torch.tensor([[1.0, -0.5], [0.0, 0.0]]))
    >>> q.tolist(), dequantize_rows(q, scale).tolist()[1]
    ([[127, -64], [0, 0]], [0.0, 0.0])
    """
    flat = weight.float().flatten(1)
    scale = (flat.abs().amax(1) / 127).clamp(min=2**-24).half()
    quantized = (flat / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return quantized.view(weight.shape), scale


def dequantize_rows(quantized: Tensor, scale: Tensor) -> Tensor:
    """Restore what `quantize_rows` stored, as fp32."""
    return quantized.float() * scale.float().view(-1, *([1] * (quantized.dim() - 1)))


def _borrow_embeddings(lender: str, name: str) -> Tensor:
    """Read the weight of this name out of another model. Shape: (n_pieces, H)."""
    with safe_open(find_lender(lender) / WEIGHTS_FILE, "pt") as weights:
        return dequantize_rows(weights.get_tensor(name), weights.get_tensor(name + SCALE_SUFFIX))


def _embeddings_name(model: MultiTaskModel) -> str:
    matrix = model.encoder.get_input_embeddings().weight
    return next(name for name, parameter in model.named_parameters() if parameter is matrix)


def check_embeddings(model: MultiTaskModel) -> None:
    """Refuse a model whose embeddings are said to be another model's, and are not.

    Raises:
      ValueError: if they differ, or there is no such model.
    """
    if lender := model.spec.embeddings_of:
        theirs = _borrow_embeddings(lender, _embeddings_name(model))
        if not torch.equal(model.encoder.get_input_embeddings().weight.detach().cpu(), theirs):
            raise ValueError(
                f"The embeddings must be those of {lender!r} (`embeddings_of`), got other ones. Begin with that model, "
                "keep them frozen in training, or leave `embeddings_of` out."
            )


def save_model(model: MultiTaskModel, tokenizer: TextTokenizer, folder: Path) -> None:
    """Write a model folder: weights (matrices as int8), encoder configuration, spec, tokenizer.

    Args:
      model: on any device.
      tokenizer: the one that the encoder was trained with.
      folder: made if absent.

    Raises:
      ValueError: if the spec says that the embeddings are another model's, and they are not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Tensor] = {}
    weights = model.state_dict()
    check_embeddings(model)
    if model.spec.embeddings_of:
        del weights[_embeddings_name(model)]
    for name, tensor in weights.items():
        if tensor.dim() >= 2 and tensor.is_floating_point():
            stored[name], stored[name + SCALE_SUFFIX] = quantize_rows(tensor)
        elif tensor.is_floating_point():
            stored[name] = tensor.half()
    save_file({name: tensor.contiguous().cpu() for name, tensor in stored.items()}, folder / WEIGHTS_FILE)
    model.encoder.config.save_pretrained(folder)
    tokenizer.tokenizer.save_pretrained(folder)
    model.spec.save(folder)


def load_model(folder: Path, spec: ModelSpec | None = None) -> tuple[MultiTaskModel, TextTokenizer]:
    """Read a model folder that `save_model` wrote; the weights are restored to fp32.

    Args:
      folder: the folder.
      spec: taken in the place of the folder's own, which it has the sizes and labels of.

    Raises:
      ValueError: if a file is missing or does not belong to the others.
    """
    try:
        spec = ModelSpec.load(folder) if spec is None else spec
        model = MultiTaskModel(spec, build_encoder(AutoConfig.from_pretrained(folder)))
        stored = load_file(folder / WEIGHTS_FILE)
        weights = {
            name: dequantize_rows(tensor, stored[name + SCALE_SUFFIX])
            if name + SCALE_SUFFIX in stored
            else tensor.float()
            for name, tensor in stored.items()
            if not name.endswith(SCALE_SUFFIX)
        }
        if spec.embeddings_of:
            weights[_embeddings_name(model)] = _borrow_embeddings(spec.embeddings_of, _embeddings_name(model))
        missing, unexpected = model.load_state_dict(weights, strict=False)
        missing = [name for name in missing if not name.endswith("position_ids")]
        if missing or unexpected:
            raise ValueError(f"weights missing: {missing[:3]}, weights unknown: {unexpected[:3]}")
        tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(folder))
    except Exception as error:  # the tokenizers library raises bare ones
        raise ValueError(
            f"{folder} must hold a whole multi-task model, got {type(error).__name__}: {error} Copy or train it again."
        ) from error
    model.eval()
    return model, tokenizer


def load_encoder(base: str) -> tuple[Any, TextTokenizer]:
    """Load an encoder to train from: a multi-task model's, or a Hugging Face one by folder or hub name.

    Raises:
      ValueError: if there is no such encoder, or its tokenizer is not a fast one.
    """
    folder = resolve_folder(base)
    if folder is not None:
        model, tokenizer = load_model(folder)
        return model.encoder, tokenizer
    try:
        tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(base))
        config = AutoConfig.from_pretrained(base)
        options = {"add_pooling_layer": False} if config.model_type in ("bert", "roberta") else {}
        encoder = AutoModel.from_pretrained(base, weights_only=True, **options)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`base` must be a model folder, or a hub name that can be reached, with a fast tokenizer, "
            f"got {base!r}: {error} Check the name, or fetch the encoder and give its folder."
        ) from error
    return encoder.float(), tokenizer
