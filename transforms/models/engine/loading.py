"""From a model configuration to loaded models, one copy of each a process."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from apache_beam.utils import shared

from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.base.memory import keep_free_memory
from klue_beam.transforms.base.threads import use_threads
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.folders import hash_folder, resolve_folder
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.engine.classifiers import ClassifierEngine, find_checkpoint
from klue_beam.transforms.models.engine.engine import Engine, MultiTaskEngine, encode_plain
from klue_beam.transforms.models.engine.resolving import read_task_options
from klue_beam.transforms.models.nets.precision import apply_precision, choose_device
from klue_beam.transforms.models.text.batching import TOKENS_A_PASS, count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.base import HeadCheckpoint
from klue_beam.transforms.tasks.output import needs_of

_MODELS: Final = shared.Shared()
"""All models of a process hang on one token: with one each, later pipelines of the process loaded them again."""

_LOADING: Final = threading.Lock()


def load_engines(config: ModelConfig, device: torch.device | None = None) -> list[Engine]:
    """Load the models of a configuration that `resolve_models` gave; tasks of one multi-task model share an engine.

    Args:
      config: with a settled precision.
      device: where they run; None for the CPU.

    Raises:
      ValueError: if the precision is not settled.
      RuntimeError: if a model's files are not those that the plan was made with.
    """
    config.require_settled()
    keep_free_memory()
    engines: list[Engine] = []
    for name in dict.fromkeys(config.models[task] for task in config.tasks):
        tasks = [task for task in config.tasks if config.models[task] == name]
        embedded = resolve_folder(name)
        folder = embedded if embedded is not None else find_checkpoint(name)
        _check_hash(config, tasks, name, hash_folder(folder))
        if embedded is not None:
            engines.append(_make_engine(config, *load_model(folder), tasks, device))
            continue
        for task in tasks:
            checkpoint = TASKS[task].checkpoint
            if isinstance(checkpoint, HeadCheckpoint):
                encoder, heads, tokenizer = checkpoint.load(folder)
                model = MultiTaskModel(ModelSpec(name=folder.name, tasks=(task,)), encoder, {task: heads})
                engines.append(_make_engine(config, model, tokenizer, [task], device))
            else:
                limits = _limits(config, device)
                engines.append(ClassifierEngine(task, folder, precision=config.precision, **limits))
    _share_tokenizers(engines)
    return _order_engines(engines)


def _order_engines(engines: Sequence[Engine]) -> list[Engine]:
    """Let each engine run after those whose findings its tasks need.

    Raises:
      ValueError: if two engines need each other.
    """
    waiting, ordered = list(engines), list[Engine]()
    while waiting:
        missing = {task for engine in waiting for task in engine.tasks}
        ready = [engine for engine in waiting if not (needs_of(engine.tasks) & missing)]
        if not ready:
            raise ValueError(
                f"Models must not need what each other's tasks find, got {', '.join(sorted(missing))}. Give the tasks "
                "that need each other one model."
            )
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def _share_tokenizers(engines: Sequence[Engine]) -> None:
    """Let engines whose tokenizers are alike have one, which tokenises the texts of a pass once for all of them."""
    first: dict[str, TextTokenizer] = {}
    for engine in engines:
        engine.tokenizer = first.setdefault(engine.tokenizer.identify(), engine.tokenizer)


def _limits(config: ModelConfig, device: torch.device | None) -> dict[str, Any]:
    tokens = config.token_budget or TOKENS_A_PASS["cpu" if device is None else device.type]
    return {"token_budget": tokens, "options": read_task_options(config), "device": device}


def _make_engine(
    config: ModelConfig,
    model: MultiTaskModel,
    tokenizer: TextTokenizer,
    tasks: Sequence[str],
    device: torch.device | None,
) -> MultiTaskEngine:
    members = [TASKS[task] for task in model.spec.tasks]
    parts = ["encoder", *(name for task in members for name in task.deep_heads)]
    heads = [name for task in members for name in task.wide_heads]
    plain = encode_plain(tokenizer, count_max_pieces(model.encoder, tokenizer))
    model = apply_precision(model, config.precision, parts, device, heads, plain)
    return MultiTaskEngine(model, tokenizer, tasks, **_limits(config, device))


def _check_hash(config: ModelConfig, tasks: Sequence[str], name: str, found: str) -> None:
    for task in tasks:
        if config.model_sha256.get(task) not in (None, found):
            raise RuntimeError(
                f"The model {name!r} must be the one that the plan was made with (sha256 "
                f"{config.model_sha256[task][:12]}…), got {found[:12]}…. "
                f"Bring its files back, or annotate into a new folder."
            )


class _Kept(dict[str, list[Engine]]):
    """The engines of the last few configurations that this process has used: of a chain of single tasks, all four."""

    def take(self, key: str, load: Callable[[], list[Engine]]) -> list[Engine]:
        engines = self.pop(key, None) or load()
        self[key] = engines
        while len(self) > len(TASKS):
            del self[next(iter(self))]
        return engines


def share_engines(config: ModelConfig, threads: int, device: str = "auto") -> list[Engine]:
    """Give this process's copy of the models, loading them once.

    Args:
      config: what `resolve_models` gave.
      threads: torch threads of this process; more than the free cores make it many times slower.
      device: as in `choose_device`, of the machine that this process is on.

    Raises:
      ValueError: if the device is not there.
    """
    use_threads(threads)
    where = choose_device(device, config.precision)
    with _LOADING:
        return _MODELS.acquire(_Kept).take(f"{where} {config!r}", lambda: load_engines(config, where))
