"""Running a model on a batch in training: one tokenisation, one encoder pass, and the heads that an objective asks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.pieces import EncodedTexts, PaddedInputs, TextTokenizer, pad_units
from klue_beam.transforms.tasks.learning import LearnBatch, Objective, Output, States, whole_units


def encode_batch(texts: Sequence[str], tokenizer: TextTokenizer) -> tuple[EncodedTexts, PaddedInputs]:
    """Tokenise texts and lay them out, one unit each."""
    encoded = tokenizer.encode(texts)
    return encoded, pad_units(encoded, whole_units(encoded), tokenizer)


def run_encoder(model: MultiTaskModel, inputs: PaddedInputs) -> States:
    """Run a model's encoder on a batch."""
    device = device_of(model)
    mask = to_tensor(inputs.mask, device)
    hidden, lower = model(to_tensor(inputs.input_ids, device), mask)
    return States(hidden, lower, mask)


def device_of(model: nn.Module) -> torch.device:
    """Tell where a model's weights are."""
    return next(model.parameters()).device


def all_heads(model: MultiTaskModel) -> Mapping[str, nn.Module]:
    """Give the heads of all tasks of a model, by name."""
    return {name: head for task in model.spec.tasks for name, head in model.heads_of(task).items()}


def run_objective(
    objective: Objective, model: MultiTaskModel, tokenizer: TextTokenizer, index: Ints
) -> Mapping[str, Output]:
    """Tokenise a batch of an objective's examples and run it. Shape of index: (batch_size,)."""
    encoded, inputs = encode_batch([objective.texts[i] for i in index], tokenizer)
    return objective.outputs(LearnBatch(all_heads(model), run_encoder(model, inputs), encoded, inputs, index))


def total_loss(outputs: Mapping[str, Output]) -> Tensor:
    """Sum the losses of a batch's outputs."""
    return torch.stack([output.loss() for output in outputs.values()]).sum()
