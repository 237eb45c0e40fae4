"""The training loop: batches of one objective each in a fixed random order, checkpoints, resume."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.text.batching import count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.learning import LearnBatch, Objective
from klue_beam.transforms.training.batches import Batch, BatchPlan, hide_pieces, plan_batches
from klue_beam.transforms.training.checkpoints import STATE_FILE, Checkpoint, Teacher, fingerprint_run
from klue_beam.transforms.training.config import TrainConfig
from klue_beam.transforms.training.distillation import distillation_loss
from klue_beam.transforms.training.forward import all_heads, device_of, encode_batch, run_encoder, total_loss

LOG_FILE: Final = "training_log.jsonl"


class DivergedError(RuntimeError):
    """A run's loss is no number any more, and nothing that follows would be."""


class Step(NamedTuple):
    """What a training step reports."""

    step: int
    n_steps: int
    objective: str
    loss: float
    tokens_per_second: float


def parameter_groups(model: MultiTaskModel, extra: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Group parameters by learning rate: heads, and the encoder layer by layer; frozen ones are left out.

    Reference (layer-wise decay): Howard and Ruder, 2018, https://arxiv.org/abs/1801.06146
    """
    n_layers = model.encoder.config.num_hidden_layers
    deep_heads = [head for task in model.spec.tasks for head in TASKS[task].deep_heads]
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in [*model.named_parameters(), *extra.named_parameters()]:
        depth = _depth(name, n_layers, deep_heads)
        if depth is not None and depth < config.frozen_layers + (config.frozen_layers >= 0):
            parameter.requires_grad_(False)
            continue
        rate = config.head_rate
        if depth is not None:
            rate = config.encoder_rate * config.layer_decay ** (n_layers - depth)
        decay = 0.0 if parameter.dim() < 2 else config.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "peak_rate": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _depth(name: str, n_layers: int, deep_heads: Sequence[str]) -> int | None:
    """0 for embeddings, 1 … n for layers, n for layers of heads, which copy the top ones, None for other weights."""
    if name.startswith(tuple(f"{head}.layers." for head in deep_heads)):
        return n_layers
    if not name.startswith("encoder."):
        return None
    parts = name.split(".")
    return int(parts[parts.index("layer") + 1]) + 1 if "layer" in parts else 0


def train(
    model: MultiTaskModel,
    extra: nn.ModuleDict,
    tokenizer: TextTokenizer,
    objectives: Sequence[Objective],
    config: TrainConfig,
    folder: Path,
    on_step: Callable[[Step], None] = lambda _: None,
    stop_after: int | None = None,
    on_plan: Callable[[BatchPlan], None] = lambda _: None,
    on_checkpoint: Callable[[int], None] = lambda _: None,
    teacher: Teacher | None = None,
) -> bool:
    """Train a model, going on from the folder's checkpoint if there is one.

    Args:
      model, extra: the model, and heads that serve training only.
      tokenizer: the model's.
      objectives: what to learn.
      config: how.
      folder: checkpoints and the log go here.
      on_step: hears of each step.
      stop_after: stop (with a checkpoint) after so many steps of this call.
      on_plan: hears what the run will be, before its first step.
      on_checkpoint: hears the step of each checkpoint, the last step's too; the model is its to run in evaluation mode.
      teacher: what to learn from beside the labels.

    Returns:
      Whether the run is complete.

    Raises:
      ValueError: if the checkpoint is of a run with another configuration or other data.
      DivergedError: if the loss is no number any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = plan_batches(objectives, tokenizer, config, count_max_pieces(model.encoder, tokenizer))
    on_plan(plan)
    batches = plan.batches
    optimizer = torch.optim.AdamW(parameter_groups(model, extra, config), betas=(0.9, 0.98))
    fingerprint = fingerprint_run(model, objectives, config, teacher)
    checkpoint = Checkpoint(folder / STATE_FILE, model, extra, optimizer, fingerprint)
    first = checkpoint.resume()
    if first == 0:
        torch.manual_seed(config.seed)
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        for step in range(first, len(batches)):
            if stop_after is not None and step - first >= stop_after:
                checkpoint.save(step)
                return False
            model.train()
            extra.train()
            done = _step(model, tokenizer, objectives, batches, step, optimizer, config, teacher)
            log.write(json.dumps(done._asdict()) + "\n")
            on_step(done)
            if (step + 1) % config.checkpoint_steps == 0 or step + 1 == len(batches):
                log.flush()
                checkpoint.save(step + 1)
                model.eval()
                on_checkpoint(step + 1)
    model.eval()
    if first == len(batches):
        on_checkpoint(first)  # it was cut off between its last checkpoint and its end
    return True


def _step(
    model: MultiTaskModel,
    tokenizer: TextTokenizer,
    objectives: Sequence[Objective],
    batches: Sequence[Batch],
    step: int,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    teacher: Teacher | None,
) -> Step:
    began = time.perf_counter()
    objective = objectives[batches[step].objective]
    index = batches[step].index
    share = rate_share(step, len(batches), config.warmup_share)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_rate"] * share
    with torch.autocast(device_of(model).type, dtype=torch.bfloat16, enabled=config.bf16):
        encoded, inputs = encode_batch([objective.texts[i] for i in index], tokenizer)
        states = run_encoder(model, hide_pieces(inputs, tokenizer, config.piece_dropout))
        outputs = objective.outputs(LearnBatch(all_heads(model), states, encoded, inputs, index))
        loss = total_loss(outputs)
        if teacher is not None:
            with torch.no_grad():
                their_states = run_encoder(teacher.model, inputs)
                their_batch = LearnBatch(all_heads(teacher.model), their_states, encoded, inputs, index)
                theirs = objective.outputs(their_batch)
            distance = distillation_loss(outputs, theirs, states, their_states)
            loss = (1 - teacher.weight) * loss + teacher.weight * distance
    if not torch.isfinite(loss):
        raise DivergedError(
            f"The loss must be a number, got {float(loss.detach())} of {objective.name} at step {step + 1}: the model "
            "has gone astray. Begin anew with a lower `--encoder_rate` and `--head_rate`, and another `--output`."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    seconds = time.perf_counter() - began
    return Step(step + 1, len(batches), objective.name, float(loss.detach()), inputs.input_ids.size / seconds)


def rate_share(step: int, n_steps: int, warmup_share: float) -> float:
    """Give the share of the peak learning rate at a step: linear up, then linear down.

    >>> [round(rate_share(step, 10, 0.2), 3) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.125]
    """
    warmup = max(1, round(n_steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return (n_steps - step) / max(1, n_steps - warmup)
