"""A student: some layers of a multi-task model, or narrower ones, with its heads."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.nets.encoders import build_encoder


def choose_layers(n_layers: int, n_kept: int) -> list[int]:
    """Choose evenly spaced layers, the last among them.

    >>> choose_layers(12, 4)
    [2, 5, 8, 11]
    """
    return [round((i + 1) * n_layers / n_kept) - 1 for i in range(n_kept)]


def keep_layers(model: MultiTaskModel, n_layers: int, pair_layers: int) -> MultiTaskModel:
    """Build a model of some of the layers of another, with copies of all its heads.

    Args:
      model: whose encoder names its layers as BERT does (BERT, RoBERTa, ELECTRA, DeBERTa).
      n_layers: layers to keep, evenly spaced.
      pair_layers: pair layers to keep, the topmost.

    Raises:
      ValueError: if there are not so many layers, or they are not found by name.
    """
    config = copy.deepcopy(model.encoder.config)
    if not 1 <= n_layers <= config.num_hidden_layers:
        raise ValueError(
            f"`layers` must be from 1 to the base's {config.num_hidden_layers}, got {n_layers}. "
            "Leave it out to keep them all."
        )
    if not 0 <= pair_layers <= min(n_layers, model.depth):
        raise ValueError(
            f"`pair_layers` must be from 0 to {min(n_layers, model.depth)}, which both models have, got "
            f"{pair_layers}. Give fewer."
        )
    kept = choose_layers(config.num_hidden_layers, n_layers)
    first_pair_layer = model.depth - pair_layers
    config.num_hidden_layers = n_layers
    of = {task: TASKS[task].with_depth(said, pair_layers) for task, said in model.spec.of.items()}
    student = MultiTaskModel(dataclasses.replace(model.spec, of=of), build_encoder(config))
    deep_heads = [head for task in model.spec.tasks for head in TASKS[task].deep_heads]
    theirs = model.state_dict()
    student.load_state_dict(
        {name: theirs[_origin(name, kept, first_pair_layer, deep_heads)] for name in student.state_dict()}
    )
    return student


def _origin(name: str, kept: list[int], first_pair_layer: int, deep_heads: Sequence[str]) -> str:
    """Name the weight that a student's weight is copied from.

    >>> _origin("encoder.encoder.layer.1.output.dense.weight", [5, 11], 1, ["relation"])
    'encoder.encoder.layer.11.output.dense.weight'
    >>> _origin("relation.layers.0.up.bias", [], 1, ["relation"])
    'relation.layers.1.up.bias'
    """
    parts = name.split(".")
    if parts[0] in deep_heads and parts[1] == "layers":
        parts[2] = str(int(parts[2]) + first_pair_layer)
    elif name.startswith("encoder.") and "layer" in parts:
        at = parts.index("layer") + 1
        parts[at] = str(kept[int(parts[at])])
    return ".".join(parts)


_UP_AND_DOWN: Final = ((".intermediate.dense.", ".output.dense."), (".up.", ".down."))
"""How the names of a feed-forward layer's two products differ: in an encoder of BERT's kind, and in PairLayer."""


def keep_units(model: MultiTaskModel, n_units: int) -> MultiTaskModel:
    """Build a model whose feed-forward layers have fewer inner units, those of the largest weights.

    A unit's size is the norm of the weights into it times that of the weights out of it (magnitude pruning of neurons:
    He et al., 2014, https://doi.org/10.1109/ICASSP.2014.6853595).

    Args:
      model: whose encoder names its layers as BERT does (BERT, RoBERTa, ELECTRA, DeBERTa).
      n_units: inner units to keep in each layer of the encoder and each pair layer.

    Raises:
      ValueError: if there are not so many.
    """
    config = copy.deepcopy(model.encoder.config)
    if not 1 <= n_units <= config.intermediate_size:
        raise ValueError(
            f"`intermediate_size` must be from 1 to the base's {config.intermediate_size}, got {n_units}. "
            "Leave it out to keep them all."
        )
    config.intermediate_size = n_units
    student = MultiTaskModel(model.spec, build_encoder(config))
    weights = dict(model.state_dict())
    for name in [name for name in weights if name.endswith(".weight")]:
        for up, down in _UP_AND_DOWN:
            into = name.removesuffix("weight")
            if into.endswith(up):
                out_of = f"{into.removesuffix(up)}{down}weight"
                kept = _largest(weights[name], weights[out_of], n_units)
                weights |= {name: weights[name][kept], f"{into}bias": weights[f"{into}bias"][kept]}
                weights[out_of] = weights[out_of][:, kept]
    student.load_state_dict(weights)
    return student


def _largest(into: Tensor, out_of: Tensor, n_units: int) -> Tensor:
    """List the units with the largest weights, in order. Shapes: (n, H) and (H, n) to (n_units,)."""
    return torch.topk(into.norm(dim=1) * out_of.norm(dim=0), n_units).indices.sort().values
