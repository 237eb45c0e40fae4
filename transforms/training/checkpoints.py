"""The checkpoints of a run: what it goes on from, and with what alone."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import nn

from klue_beam.schemas.config import require
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.tasks.learning import Objective
from klue_beam.transforms.training.config import TrainConfig

STATE_FILE: Final = "training_state.pt"


@dataclasses.dataclass(frozen=True, slots=True)
class Teacher:
    """What a student learns from beside its labels.

    Attributes:
      model: in evaluation mode, checked by `check_teacher`.
      sha256: of its folder; a run goes on only with the same teacher.
      weight: the teacher's share of the loss, from 0 to 1; the labels have the rest.
    """

    model: MultiTaskModel
    sha256: str
    weight: float

    def __post_init__(self) -> None:
        require(0 < self.weight <= 1, "`teacher_weight` must be above 0 and at most 1", self.weight, "Give 0.7.")


def fingerprint_run(
    model: MultiTaskModel, objectives: Sequence[Objective], config: TrainConfig, teacher: Teacher | None
) -> str:
    """Name everything that a run's weights follow from but the base: configuration, model and data."""
    digests = {}
    for objective in objectives:
        digest = hashlib.sha256("\n".join(objective.texts).encode())
        digest.update(objective.known())
        digests[objective.name] = [len(objective.texts), digest.hexdigest()]
    asked = [] if teacher is None else [teacher.sha256, teacher.weight]
    return json.dumps([dataclasses.asdict(config), dataclasses.asdict(model.spec), digests, asked], sort_keys=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a run keeps what it goes on from.

    Attributes:
      path: the file.
      model, extra, optimizer: what changes in a run.
      fingerprint: what does not, as `fingerprint_run` gives it.
    """

    path: Path
    model: nn.Module
    extra: nn.Module
    optimizer: torch.optim.Optimizer
    fingerprint: str

    def save(self, step: int) -> None:
        """Write the run as it is before a step, whole or not at all."""
        state = {
            "fingerprint": self.fingerprint,
            "step": step,
            "model": self.model.state_dict(),
            "extra": self.extra.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        fresh = self.path.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self.path)

    def resume(self) -> int:
        """Bring the run back to where it was; gives the step that comes next, 0 where nothing was kept.

        Raises:
          ValueError: if what was kept is of a run with another configuration or other data.
        """
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        if state["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"A run goes on only with the data and options that it began with; {self.path} is of another run. "
                "Give another --output, or remove that file to begin anew."
            )
        self.model.load_state_dict(state["model"])
        self.extra.load_state_dict(state["extra"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        if torch.cuda.is_available() and len(state["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        return int(state["step"])
