"""The training loop: batches of one objective each in a fixed random order, checkpoints, resume."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn

from transforms.codepoints import Ints
from transforms.config import require
from transforms.models.batching import count_max_pieces
from transforms.models.multitask import MultiTaskModel
from transforms.models.pieces import PaddedInputs, TextTokenizer
from transforms.models.training.distillation import average_outputs, distillation_loss
from transforms.models.training.objectives import Objective, device_of, encode_batch, run_encoder, total_loss

STATE_FILE: Final = "training_state.pt"
LOG_FILE: Final = "training_log.jsonl"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train.

    Attributes:
      epochs: passes over each objective's examples, by name; a fraction takes a part of them.
      batch_tokens: padded tokens in a batch.
      encoder_rate, head_rate: peak learning rates of the encoder's top layer and of the heads.
      layer_decay: each layer's rate is that of the layer above times this.
      frozen_layers: so many bottom layers, and the embeddings, keep their weights; -1 trains everything.
      warmup_share: share of the steps with a rising rate; it falls linearly after.
      weight_decay: as in AdamW.
      piece_dropout: share of the pieces that the model does not get to see: it reads the mask token, or the unknown
        one, in their place. A teacher sees them.
      max_pieces: longer examples are left out (and counted).
      bf16: run forward and backward under bf16 autocast.
      seed: of order and dropout.
      checkpoint_steps: steps between checkpoints.
    """

    epochs: Mapping[str, float]
    batch_tokens: int = 1400
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    layer_decay: float = 0.95
    frozen_layers: int = 0
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    piece_dropout: float = 0.0
    max_pieces: int = 200
    bf16: bool = False
    seed: int = 1
    checkpoint_steps: int = 200

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "max_pieces", "checkpoint_steps"):
            value = getattr(self, name)
            require(value >= 1, f"`{name}` must be at least 1", value, "Leave it out for the default.")
        for name in ("encoder_rate", "head_rate", "layer_decay"):
            value = getattr(self, name)
            require(value > 0, f"`{name}` must be above 0", value, "Leave it out for the default.")
        require(
            0 <= self.warmup_share <= 1,
            "`warmup_share` must be from 0 to 1",
            self.warmup_share,
            "Leave it out for the default.",
        )
        require(
            0 <= self.piece_dropout < 1,
            "`piece_dropout` must be at least 0 and below 1",
            self.piece_dropout,
            "Leave it out for the default.",
        )
        for name, value in self.epochs.items():
            require(value > 0, f"`epochs` of {name} must be above 0", value, "Leave the data set out instead.")


class BatchPlan(NamedTuple):
    """The batches of a run in their order, and how many examples of each objective are left out as too long."""

    batches: list["Batch"]
    left_out: dict[str, int]


class Step(NamedTuple):
    """What a training step reports."""

    step: int
    n_steps: int
    objective: str
    loss: float
    tokens_per_second: float


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Which examples of which objective make a batch."""

    objective: int
    index: Ints


@dataclasses.dataclass(frozen=True, slots=True)
class Teacher:
    """What a student learns from beside its labels.

    Attributes:
      model: in evaluation mode, checked by `check_teacher`.
      sha256: of its folder; a run goes on only with the same teacher.
      weight: the teacher's share of the loss, from 0 to 1; the labels have the rest.
      others: models that are asked, too: what they all say is averaged. Only the first one's states are learnt.
      state_weight: how much the distance between states counts; it is of use where the student began as the teacher.
    """

    model: MultiTaskModel
    sha256: str
    weight: float
    others: tuple[MultiTaskModel, ...] = ()
    state_weight: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.weight <= 1, "`teacher_weight` must be above 0 and at most 1", self.weight, "Give 0.7.")


def plan_batches(
    objectives: Sequence[Objective], tokenizer: TextTokenizer, config: TrainConfig, max_pieces: int
) -> BatchPlan:
    """Lay out every batch of the run in its order; the same seed gives the same order.

    Args:
      objectives: what to learn.
      tokenizer: the model's.
      config: how.
      max_pieces: what the encoder has room for; `config` may ask for less.

    Raises:
      ValueError: if no example of an objective is short enough.
    """
    random = np.random.default_rng(config.seed)
    batches: list[Batch] = []
    left_out: dict[str, int] = {}
    for number, objective in enumerate(objectives):
        pieces = tokenizer.encode(objective.texts).pieces.lengths
        lengths = pieces + tokenizer.n_special
        room = min(config.max_pieces, max_pieces)
        usable = np.flatnonzero(pieces <= room)
        left_out[objective.name] = len(lengths) - len(usable)
        require(
            len(usable) > 0,
            f"Of {objective.name}, some example must have at most {room} pieces",
            f"{len(lengths)} longer ones" if len(lengths) else "no example",
            "Raise `max_pieces`, or give other data.",
        )
        wanted = config.epochs.get(objective.name, 1.0)
        while wanted > 0:
            order = random.permutation(usable)[: math.ceil(len(usable) * min(wanted, 1.0))]
            # Neighbours in length, but not always the same neighbours.
            order = order[np.argsort(lengths[order] * random.uniform(0.9, 1.1, len(order)), kind="stable")]
            batches += [Batch(number, index) for index in _cut(order, lengths, config.batch_tokens)]
            wanted -= 1
    return BatchPlan([batches[i] for i in random.permutation(len(batches))], left_out)


def _cut(order: Ints, lengths: Ints, batch_tokens: int) -> list[Ints]:
    cuts, widest, begin = [0], 0, 0
    for i, example in enumerate(order):
        widest = max(widest, int(lengths[example]))
        if i > begin and widest * (i + 1 - begin) > batch_tokens:
            cuts.append(i)
            begin, widest = i, int(lengths[example])
    return [part for part in np.split(order, cuts[1:]) if len(part)]


def parameter_groups(model: MultiTaskModel, extra: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Group parameters by learning rate: heads, and the encoder layer by layer; frozen ones are left out.

    Reference (layer-wise decay): Howard and Ruder, 2018, https://arxiv.org/abs/1801.06146
    """
    n_layers = model.encoder.config.num_hidden_layers
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in [*model.named_parameters(), *extra.named_parameters()]:
        depth = _depth(name, n_layers)
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


def _depth(name: str, n_layers: int) -> int | None:
    """0 for embeddings, 1 … n for layers, n for the pair layers that copy the top ones, None for heads."""
    if name.startswith("relation.layers."):
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
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = plan_batches(objectives, tokenizer, config, count_max_pieces(model.encoder, tokenizer))
    on_plan(plan)
    batches = plan.batches
    optimizer = torch.optim.AdamW(parameter_groups(model, extra, config), betas=(0.9, 0.98))
    fingerprint = _fingerprint(model, objectives, config, teacher)
    first = _resume(folder / STATE_FILE, model, extra, optimizer, fingerprint)
    if first == 0:
        torch.manual_seed(config.seed)
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        for step in range(first, len(batches)):
            if stop_after is not None and step - first >= stop_after:
                _checkpoint(folder / STATE_FILE, model, extra, optimizer, fingerprint, step)
                return False
            model.train()
            extra.train()
            done = _step(model, tokenizer, objectives, batches, step, optimizer, config, teacher)
            log.write(json.dumps(done._asdict()) + "\n")
            on_step(done)
            if (step + 1) % config.checkpoint_steps == 0 or step + 1 == len(batches):
                log.flush()
                _checkpoint(folder / STATE_FILE, model, extra, optimizer, fingerprint, step + 1)
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
        outputs = objective.outputs(model, states, encoded, inputs, index)
        loss = total_loss(outputs)
        if teacher is not None:
            with torch.no_grad():
                their_states = run_encoder(teacher.model, inputs)
                theirs = objective.outputs(teacher.model, their_states, encoded, inputs, index)
                said = [theirs] + [
                    objective.outputs(other, run_encoder(other, inputs), encoded, inputs, index)
                    for other in teacher.others
                ]
            distance = distillation_loss(outputs, average_outputs(said), states, their_states, teacher.state_weight)
            loss = (1 - teacher.weight) * loss + teacher.weight * distance
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    seconds = time.perf_counter() - began
    return Step(step + 1, len(batches), objective.name, float(loss.detach()), inputs.input_ids.size / seconds)


def hide_pieces(inputs: PaddedInputs, tokenizer: TextTokenizer, share: float) -> PaddedInputs:
    """Put the mask token, or the unknown one where a tokenizer has none, in the place of some pieces.

    Args:
      inputs: a batch.
      tokenizer: the model's.
      share: of the pieces, special tokens and padding left out, drawn by torch's generator.

    Reference (word dropout): Iyyer et al., 2015, https://aclanthology.org/P15-1162
    """
    if not share:
        return inputs
    hidden = (torch.rand(inputs.input_ids.shape) < share).numpy()
    hidden &= ~np.isin(inputs.input_ids, tokenizer.tokenizer.all_special_ids)
    return dataclasses.replace(inputs, input_ids=np.where(hidden, tokenizer.hidden_id, inputs.input_ids))


def rate_share(step: int, n_steps: int, warmup_share: float) -> float:
    """Give the share of the peak learning rate at a step: linear up, then linear down.

    >>> [round(rate_share(step, 10, 0.2), 3) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.125]
    """
    warmup = max(1, round(n_steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return (n_steps - step) / max(1, n_steps - warmup)


def _fingerprint(
    model: MultiTaskModel, objectives: Sequence[Objective], config: TrainConfig, teacher: Teacher | None
) -> str:
    """Name everything that a run's weights follow from but the base: configuration, model and data."""
    digests = {}
    for objective in objectives:
        digest = hashlib.sha256("\n".join(objective.texts).encode())
        digest.update(objective.known())
        digests[objective.name] = [len(objective.texts), digest.hexdigest()]
    asked = [] if teacher is None else [teacher.sha256, teacher.weight]
    if teacher is not None and (teacher.others or teacher.state_weight != 1):
        asked.append(teacher.state_weight)
    return json.dumps([dataclasses.asdict(config), dataclasses.asdict(model.spec), digests, asked], sort_keys=True)


def _checkpoint(
    path: Path, model: nn.Module, extra: nn.Module, optimizer: torch.optim.Optimizer, fingerprint: str, step: int
) -> None:
    state = {
        "fingerprint": fingerprint,
        "step": step,
        "model": model.state_dict(),
        "extra": extra.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def _resume(path: Path, model: nn.Module, extra: nn.Module, optimizer: torch.optim.Optimizer, fingerprint: str) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    if state["fingerprint"] != fingerprint:
        raise ValueError(
            f"A run goes on only with the data and options that it began with; {path} is of another run. "
            "Give another --output, or remove that file to begin anew."
        )
    model.load_state_dict(state["model"])
    extra.load_state_dict(state["extra"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    if torch.cuda.is_available() and len(state["cuda_rng"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return int(state["step"])
