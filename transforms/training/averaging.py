"""One model from several: the mean of their weights."""

import copy
import dataclasses
from collections.abc import Sequence

import torch

from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.text.pieces import TextTokenizer


def average_models(models: Sequence[MultiTaskModel], tokenizers: Sequence[TextTokenizer], name: str) -> MultiTaskModel:
    """Average the weights of models of one shape that were trained on from the same weights.

    Args:
      models: two or more.
      tokenizers: of each.
      name: of the new model, whose calibration is still to be fitted.

    Raises:
      ValueError: if there are fewer, or they differ in tasks, labels, sizes or pieces.

    Reference: Wortsman et al., 2022, "Model soups", https://arxiv.org/abs/2203.05482
    """
    if len(models) < 2:
        raise ValueError(f"There must be two models to average at least, got {len(models)}. Give more.")
    first = models[0]
    for model, tokenizer in zip(models[1:], tokenizers[1:], strict=True):
        shapes = [{key: value.shape for key, value in one.state_dict().items()} for one in (first, model)]
        labels = [one.spec.label_sets() for one in (first, model)]
        vocabularies = [one.tokenizer.get_vocab() for one in (tokenizers[0], tokenizer)]
        if shapes[0] != shapes[1] or labels[0] != labels[1] or vocabularies[0] != vocabularies[1]:
            raise ValueError(
                f"Models to average must have the same tasks, labels, sizes and pieces, got {first.spec.name!r} and "
                f"{model.spec.name!r}, which differ. Give models that were trained on from the same one."
            )
    mean = copy.deepcopy(first)
    states = [model.state_dict() for model in models]
    mean.load_state_dict(
        {
            key: torch.stack([state[key] for state in states]).mean(0) if value.is_floating_point() else value
            for key, value in states[0].items()
        }
    )
    mean.spec = dataclasses.replace(first.spec.without_fit(), name=name)
    return mean
