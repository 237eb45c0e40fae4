"""Anyone's Hugging Face checkpoints that are whole classifiers, of sequences or of tokens."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub import snapshot_download

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.checkpoints.folders import MODEL_FILES, OLD_WEIGHTS
from klue_beam.transforms.models.engine.engine import (
    PLAIN_SENTENCE,
    Annotations,
    encode_plain,
    fill_options,
    gather,
)
from klue_beam.transforms.models.engine.running import TokenBudget, run_batches
from klue_beam.transforms.models.nets.encoders import load_config, load_tokenizer
from klue_beam.transforms.models.nets.precision import apply_precision
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.batching import BATCH_COST_TOKENS, count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer, pad_units
from klue_beam.transforms.tasks.annotator import ClassifierPass, Work, lay_out_texts, require_finite
from klue_beam.transforms.tasks.base import ClassifierCheckpoint
from klue_beam.transforms.tasks.output import require_needs


def find_checkpoint(name: str) -> Path:
    """Give the folder of a Hugging Face checkpoint, fetched from the hub if it is no folder.

    Raises:
      ValueError: if there is neither a folder nor a hub checkpoint of that name.
    """
    if (Path(name) / "config.json").is_file():
        return Path(name)
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(MODEL_FILES)))
        if not list(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*MODEL_FILES, OLD_WEIGHTS]))
        return folder
    except (OSError, ValueError) as error:
        raise ValueError(
            f"A model must be an embedded name, a folder with a config.json or a hub name that can be reached, "
            f"got {name!r} ({type(error).__name__}). Check the name, or fetch the checkpoint and give its folder."
        ) from error


def classifier_of(task: str) -> ClassifierCheckpoint:
    """Give what a task says of checkpoints that are whole classifiers.

    Raises:
      ValueError: if there are none for the task.
    """
    checkpoint = TASKS[task].checkpoint
    if not isinstance(checkpoint, ClassifierCheckpoint):
        raise ValueError(
            f"`{task}_model` must be a folder that `klue-beam train` wrote, since no other checkpoints serve {task}. "
            f"Train one with `klue-beam train --task {task}`."
        )
    return checkpoint


def load_checkpoint(task: str, folder: Path) -> tuple[Any, TextTokenizer]:
    """Load a checkpoint, and refuse one that cannot serve its task.

    Args:
      task: its name.
      folder: of the checkpoint.

    Returns:
      The classifier, in fp32, and its tokenizer.

    Raises:
      ValueError: if it has no label map, not the task's head, no fast tokenizer, or not all weights.
    """
    config = load_config(task, folder)
    kind = classifier_of(task).kind
    heads = config.architectures or []
    if not any(name.endswith(f"For{kind}") for name in heads):
        raise ValueError(
            f"`{task}_model` must be a checkpoint For{kind}, got {', '.join(heads) or 'none'} in {folder}. "
            "Fine-tune it for the task first, for instance with `klue-beam train`."
        )
    if all(re.fullmatch(r"LABEL_\d+", str(label)) for label in config.id2label.values()):
        raise ValueError(
            f"`{task}_model` must name its labels, got {config.id2label[0]}, … in {folder}. "
            "Set id2label in its config.json to the labels in the order that it was trained with."
        )
    tokenizer = load_tokenizer(task, folder)
    auto = getattr(transformers, f"AutoModelFor{kind}")
    try:
        # Of a pytorch_model.bin nothing but tensors is read.
        model, loading = auto.from_pretrained(folder, weights_only=True, output_loading_info=True)
    except Exception as error:  # the safetensors library raises one of its own
        raise ValueError(
            f"`{task}_model` must hold weights that fit its config.json, got {type(error).__name__} in {folder}: "
            f"{error} Save the fine-tuned checkpoint again."
        ) from error
    if loading["missing_keys"]:
        raise ValueError(
            f"`{task}_model` must hold all weights of a model For{kind}, got none for "
            f"{', '.join(sorted(loading['missing_keys'])[:3])} in {folder}. Save the fine-tuned checkpoint again."
        )
    return model.float().eval(), tokenizer


def read_labels(task: str, folder: Path) -> tuple[str, ...]:
    """Give the labels of a checkpoint, KLUE's names where they match.

    Raises:
      ValueError: if there is no config.json that transformers knows.
    """
    return _labels_of(task, load_config(task, folder))


def _labels_of(task: str, config: Any) -> tuple[str, ...]:
    return name_labels([str(config.id2label[i]) for i in range(len(config.id2label))], classifier_of(task).known_labels)


def name_labels(labels: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Give labels the names that KLUE has for them, where they differ in case and punctuation at most.

    >>> from klue_beam.schemas.labels import RELATIONS, TOPICS
    >>> name_labels(["IT/과학", "생활 문화", "연예"], TOPICS)
    ('IT과학', '생활문화', '연예')
    >>> name_labels(["NO-RELATION", "PER:Title"], RELATIONS)
    ('no_relation', 'per:title')
    """
    names = {_letters(name): name for name in known}
    return tuple(names.get(_letters(label), label) for label in labels)


def _letters(label: str) -> str:
    return re.sub(r"[\W_]", "", label).casefold()


class ClassifierEngine:
    """A classifier that annotates texts with one task.

    Args:
      task: its name.
      folder: of the checkpoint.
      token_budget, options, device: as in MultiTaskEngine.
      precision: as in `apply_precision`.
    """

    def __init__(
        self,
        task: str,
        folder: Path,
        *,
        token_budget: int,
        options: Mapping[str, Any],
        precision: str = "fp32",
        device: torch.device | None = None,
    ) -> None:
        self.tasks = (task,)
        self.device = device if device is not None else torch.device("cpu")
        model, self.tokenizer = load_checkpoint(task, folder)
        labels = _labels_of(task, model.config)
        self._annotator = classifier_of(task).annotator(labels, fill_options(self.tasks, options))
        self.budget = TokenBudget(token_budget, BATCH_COST_TOKENS[self.device.type])
        room = self.tokenizer.tokenizer.model_max_length - self.tokenizer.n_special
        self.max_pieces = min(count_max_pieces(model, self.tokenizer), room)
        plain = encode_plain(self.tokenizer, self.max_pieces)
        self.model = apply_precision(model, precision, (model.base_model_prefix,), self.device, plain=plain).to(
            self.device
        )

    def annotate(self, texts: Sequence[str], known: Mapping[str, Any] | None = None) -> Annotations:
        """See Engine."""
        known = known or {}
        require_needs(self.tasks, known)
        work = self._annotator.lay_out(texts, known, self.tokenizer, self.max_pieces)
        work.found = known
        kept: list[Any] = []

        def forward(index: Ints) -> None:
            kept.append(self._annotator.forward(self._classify(work, index)))

        units, listed = work.windows.units, self._annotator.list_units(work)
        lengths = (units.end - units.begin)[listed] + self.tokenizer.n_special
        with torch.inference_mode():
            failed = run_batches(listed, lengths, self.budget, forward, self._try_plain)
        work.failures.update({int(work.owner[unit]): reason for unit, reason in failed.items()})
        return gather(self.tasks, {self.tasks[0]: self._annotator.decode(kept, work)}, work)

    def _classify(self, work: Work, index: Ints) -> ClassifierPass:
        units = work.windows.units.take(index)
        inputs = pad_units(work.encoded, units, self.tokenizer)
        output = self.model(
            input_ids=to_tensor(inputs.input_ids, self.device), attention_mask=to_tensor(inputs.mask, self.device)
        )
        probabilities = require_finite(torch.softmax(output.logits.float(), -1).cpu().numpy())
        return ClassifierPass(work, index, units, inputs, probabilities)

    def _try_plain(self) -> None:
        work = lay_out_texts([PLAIN_SENTENCE], self.tokenizer, self.max_pieces)
        self._classify(work, np.zeros(1, dtype=np.int64))
