"""Anyone's Hugging Face checkpoints: sequence classification for TC and RE, token classification for NER."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from huggingface_hub import snapshot_download
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from klue_beam.schemas.labels import RE_TYPE_TO_ENTITY_TYPE, RELATIONS, TOPICS
from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.models.checkpoints.folders import MODEL_FILES, OLD_WEIGHTS
from klue_beam.transforms.models.engine.engine import (
    PLAIN_SENTENCE,
    Annotations,
    encode_plain,
    entities_in_texts,
    require_finite,
)
from klue_beam.transforms.models.engine.marking import mark_pair, rejoin_words
from klue_beam.transforms.models.engine.running import TokenBudget, run_packed
from klue_beam.transforms.models.nets.precision import apply_precision
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.batching import BATCH_COST_TOKENS, Windows, count_max_pieces, cut_windows
from klue_beam.transforms.models.text.pieces import (
    EncodedTexts,
    PaddedInputs,
    TextTokenizer,
    Units,
    index_chars,
    pad_units,
)
from klue_beam.transforms.tasks.columns import Probabilities
from klue_beam.transforms.tasks.entity.spans import Entities, decode_entities, drop_overlaps, no_entities
from klue_beam.transforms.tasks.relation.pairs import decode_relations, list_candidate_pairs
from klue_beam.transforms.tasks.topic.topics import Topics, decode_topics

AUTO_MODELS: Final = {
    "tc": ("SequenceClassification", AutoModelForSequenceClassification),
    "re": ("SequenceClassification", AutoModelForSequenceClassification),
    "ner": ("TokenClassification", AutoModelForTokenClassification),
}

KLUE_LABELS: Final = {"tc": TOPICS, "re": RELATIONS}


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


def load_checkpoint(task: str, folder: Path) -> tuple[Any, TextTokenizer]:
    """Load a checkpoint, and refuse one that cannot serve its task.

    Args:
      task: tc, ner or re.
      folder: of the checkpoint.

    Returns:
      The classifier, in fp32, and its tokenizer.

    Raises:
      ValueError: if it has no label map, not the task's head, no fast tokenizer, or not all weights.
    """
    config = load_config(task, folder)
    kind, auto = AUTO_MODELS[task]
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


def load_config(task: str, folder: Path) -> Any:
    """Read a checkpoint's config.json.

    Raises:
      ValueError: if transformers does not know the model.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"`{task}_model` must have a config.json of a model that transformers knows, got {error} "
            "Save the checkpoint again with save_pretrained."
        ) from error


def load_tokenizer(task: str, folder: Path) -> TextTokenizer:
    """Read a checkpoint's tokenizer.

    Raises:
      ValueError: if there is none, or not a fast one.
    """
    try:
        return TextTokenizer(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    except Exception as error:  # the tokenizers library raises bare ones
        raise ValueError(
            f"`{task}_model` must have a fast tokenizer beside its weights, got none in {folder}: {error} "
            "Save the tokenizer there with save_pretrained, so that it has a tokenizer.json."
        ) from error


def read_labels(task: str, folder: Path) -> tuple[str, ...]:
    """Give the labels of a checkpoint, KLUE's names where they match.

    Raises:
      ValueError: if there is no config.json that transformers knows.
    """
    return _labels_of(task, load_config(task, folder))


def _labels_of(task: str, config: Any) -> tuple[str, ...]:
    return name_labels([str(config.id2label[i]) for i in range(len(config.id2label))], KLUE_LABELS.get(task, ()))


def name_labels(labels: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Give labels the names that KLUE has for them, where they differ in case and punctuation at most.

    >>> name_labels(["IT/과학", "생활 문화", "연예"], TOPICS)
    ('IT과학', '생활문화', '연예')
    >>> name_labels(["NO-RELATION", "PER:Title"], RELATIONS)
    ('no_relation', 'per:title')
    """
    names = {_letters(name): name for name in known}
    return tuple(names.get(_letters(label), label) for label in labels)


def _letters(label: str) -> str:
    return re.sub(r"[\W_]", "", label).casefold()


@dataclasses.dataclass(frozen=True, slots=True)
class TagScheme:
    """How a token classifier's labels become character tags.

    Attributes:
      types: the entity types, KLUE's names where they match.
      first, rest: for each label, the column (of O, B- and I- of each type) that it means on the first character of a
        piece and on the others. Shape: (n_labels,).
    """

    types: tuple[str, ...]
    first: Ints
    rest: Ints


def read_tag_scheme(labels: Sequence[str]) -> TagScheme:
    """Read BIO, BIOES, BILOU or IO labels, prefix or suffix, of any types.

    >>> read_tag_scheme(["O", "B-PS", "I-PS", "E-PS", "S-PS"]).first.tolist()
    [0, 1, 2, 2, 1]
    >>> read_tag_scheme(["PS-B", "PS-I", "O"]).types
    ('PS',)
    """
    parsed: list[tuple[str, str]] = []
    for label in labels:
        prefixed = re.fullmatch(r"([BIESLU])[-_](.+)", label)
        suffixed = re.fullmatch(r"(.+)[-_]([BIESLU])", label)
        if label == "O":
            parsed.append(("O", ""))
        elif prefixed:
            parsed.append((prefixed[1], prefixed[2]))
        elif suffixed:
            parsed.append((suffixed[2], suffixed[1]))
        else:
            parsed.append(("I", label))
    types = tuple(dict.fromkeys(RE_TYPE_TO_ENTITY_TYPE.get(kind, kind) for mark, kind in parsed if mark != "O"))
    first, rest = [], []
    for mark, kind in parsed:
        column = 0 if mark == "O" else 1 + 2 * types.index(RE_TYPE_TO_ENTITY_TYPE.get(kind, kind))
        begins = mark in ("B", "S", "U")
        first.append(column if mark == "O" or begins else column + 1)
        rest.append(column if mark == "O" else column + 1)
    return TagScheme(types, np.array(first), np.array(rest))


class CheckpointEngine:
    """A Hugging Face checkpoint that annotates texts with one task.

    Args:
      task: tc, ner or re.
      folder: of the checkpoint.
      token_budget, max_pairs: as in MultiTaskEngine.
      re_markers: one of RE_MARKERS.
      precision: as in `apply_precision`.
      device: where the model runs.
    """

    def __init__(
        self,
        task: str,
        folder: Path,
        *,
        token_budget: int,
        max_pairs: int,
        re_markers: str,
        precision: str = "fp32",
        device: torch.device | None = None,
    ) -> None:
        self.tasks = (task,)
        self.device = device if device is not None else torch.device("cpu")
        model, self.tokenizer = load_checkpoint(task, folder)
        self.labels = _labels_of(task, model.config)
        self.scheme = read_tag_scheme(self.labels) if task == "ner" else None
        self.budget = TokenBudget(token_budget, BATCH_COST_TOKENS[self.device.type])
        self.max_pairs, self.re_markers = max_pairs, re_markers
        room = self.tokenizer.tokenizer.model_max_length - self.tokenizer.n_special
        self.max_pieces = min(count_max_pieces(model, self.tokenizer), room)
        plain = encode_plain(self.tokenizer, self.max_pieces)
        self.model = apply_precision(model, precision, (model.base_model_prefix,), self.device, plain=plain).to(
            self.device
        )

    def annotate(self, texts: Sequence[str], entities: Entities | None = None) -> Annotations:
        """Annotate texts with the checkpoint's task.

        Args:
          texts: sentences.
          entities: of `re`, what relations are sought between.

        Raises:
          ValueError: if relations are sought and no entities given.
          RuntimeError: if the model fails on every text, and on a plain sentence too.
        """
        with torch.inference_mode():
            if self.tasks == ("tc",):
                return self._classify_topics(texts)
            if self.tasks == ("ner",):
                return self._recognize_entities(texts)
            if entities is None:
                raise ValueError("Relations need entities, got none. Run `ner` before `re`.")
            return self._extract_relations(texts, entities)

    def _probabilities(self, encoded: EncodedTexts, units: Units) -> tuple[Probabilities, PaddedInputs]:
        """Run units; shape of the first: (n_units, n_labels) or (n_units, seq_len, n_labels)."""
        inputs = pad_units(encoded, units, self.tokenizer)
        output = self.model(
            input_ids=to_tensor(inputs.input_ids, self.device), attention_mask=to_tensor(inputs.mask, self.device)
        )
        return require_finite(torch.softmax(output.logits.float(), -1).cpu().numpy()), inputs

    def _try_plain(self) -> None:
        encoded = self.tokenizer.encode([PLAIN_SENTENCE])
        self._probabilities(encoded, cut_windows(encoded, self.max_pieces).units.take(np.zeros(1, dtype=np.int64)))

    def _classify_topics(self, texts: Sequence[str]) -> Annotations:
        encoded = self.tokenizer.encode(texts)
        windows = cut_windows(encoded, self.max_pieces)
        parts: list[tuple[Ints, Probabilities]] = []

        def forward(index: Ints) -> None:
            parts.append((index, self._probabilities(encoded, windows.units.take(index))[0]))

        failures = self._run(windows.units, forward)
        index = np.concatenate([np.zeros(0, dtype=np.int64), *(part[0] for part in parts)])
        scores = np.concatenate([np.zeros((0, len(self.labels)), np.float32), *(part[1] for part in parts)])
        weight = np.maximum(windows.core_end - windows.core_begin, 1)[index].astype(np.float32)
        failed = np.zeros(len(texts), dtype=bool)
        failed[list(failures)] = True
        topics = decode_topics(scores, windows.units.text[index], weight, len(texts), self.labels)
        topics = Topics(topics.labels, np.where(failed, -1, topics.label), topics.score)
        return Annotations(topics=topics, flags=_flags("tc", failed, windows), failures=failures)

    def _recognize_entities(self, texts: Sequence[str]) -> Annotations:
        encoded = self.tokenizer.encode(texts)
        windows = cut_windows(encoded, self.max_pieces)
        scheme = self.scheme
        if scheme is None:
            raise RuntimeError("Only a checkpoint of `ner` recognizes entities.")
        parts: list[Entities] = []

        def forward(index: Ints) -> None:
            units = windows.units.take(index)
            scores, inputs = self._probabilities(encoded, units)
            chars = index_chars(encoded, units, inputs.n_prefix)
            by_label = scores[chars.unit, chars.token]
            tags = np.zeros((len(by_label), 1 + 2 * len(scheme.types)), dtype=np.float32)
            rows = np.arange(len(by_label))
            for label in range(len(self.labels)):
                column = np.where(chars.nth == 0, scheme.first[label], scheme.rest[label])
                tags[rows, column] += by_label[:, label]
            found = decode_entities(tags, chars.unit, chars.char, scheme.types)
            unit = index[found.text]
            parts.append(found.take((found.begin >= windows.core_begin[unit]) & (found.begin < windows.core_end[unit])))

        failures = self._run(windows.units, forward)
        failed = np.zeros(len(texts), dtype=bool)
        failed[list(failures)] = True
        entities = entities_in_texts(encoded, [no_entities(scheme.types), *parts])
        entities = entities.take(np.lexsort((entities.begin, entities.text)))
        entities = entities.take(drop_overlaps(entities) & ~failed[entities.text])
        return Annotations(entities=entities, flags=_flags("ner", failed, windows), failures=failures)

    def _extract_relations(self, texts: Sequence[str], entities: Entities) -> Annotations:
        pairs = list_candidate_pairs(entities, entities.text, self.max_pairs)
        text = entities.text[pairs.subject]
        marked = [
            mark_pair(texts[t], entities, int(s), int(o), self.re_markers)
            for t, s, o in zip(text.tolist(), pairs.subject, pairs.object, strict=True)
        ]
        encoded = self.tokenizer.encode([text for text, _ in marked])
        if self.re_markers == "klue":
            encoded = rejoin_words(encoded, self.tokenizer)
        units, seen = self._pair_units(encoded, [span for _, span in marked])
        probabilities = np.zeros((len(marked), len(self.labels)), dtype=np.float32)

        def forward(index: Ints) -> None:
            probabilities[index] = self._probabilities(encoded, units.take(index))[0]

        failures = {int(text[pair]): reason for pair, reason in self._run(units, forward, np.flatnonzero(seen)).items()}
        failed = np.zeros(len(texts), dtype=bool)
        failed[list(failures)] = True
        windowed, cut = np.zeros(len(texts), dtype=bool), np.zeros(len(texts), dtype=bool)
        windowed[text[units.end - units.begin < encoded.pieces.lengths]] = True
        cut[pairs.cut] = True
        cut &= ~failed
        kept = seen & ~failed[text]
        first = entities.offsets(len(texts))[text]
        relations = decode_relations(
            probabilities[kept], text[kept], (pairs.subject - first)[kept], (pairs.object - first)[kept], self.labels
        )
        flags = {"re_failed": failed, "re_windowed": windowed, "re_pairs_cut": cut}
        return Annotations(relations=relations, flags=flags, failures=failures)

    def _pair_units(self, encoded: EncodedTexts, spans: Sequence[tuple[int, int]]) -> tuple[Units, Bools]:
        """Take each marked text whole, or the window around its pair; False where the pair does not fit one."""
        offsets = encoded.pieces.offsets
        chars = encoded.chars.offsets[:-1]
        piece = encoded.pieces.piece_of_char
        span = np.array(spans, dtype=np.int64).reshape(-1, 2)
        low, high = np.maximum(piece[chars + span[:, 0]], offsets[:-1]), piece[chars + span[:, 1] - 1] + 1
        seen = high - low <= self.max_pieces
        middle = (low + high) // 2
        begin = np.clip(
            middle - self.max_pieces // 2, offsets[:-1], np.maximum(offsets[1:] - self.max_pieces, offsets[:-1])
        )
        end = np.minimum(begin + self.max_pieces, offsets[1:])
        return Units(np.arange(len(span)), begin, end), seen

    def _run(self, units: Units, forward: Callable[[Ints], None], usable: Ints | None = None) -> dict[int, str]:
        """Run units packed by length; gives the reason for each text (of the units) that failed."""
        usable = np.arange(len(units)) if usable is None else usable
        lengths = (units.end - units.begin)[usable] + self.tokenizer.n_special
        failed = run_packed(usable, lengths, self.budget, forward, self._try_plain)
        return {int(units.text[unit]): reason for unit, reason in failed.items()}


def _flags(task: str, failed: Bools, windows: Windows) -> Mapping[str, Bools]:
    return {f"{task}_failed": failed, f"{task}_windowed": windows.texts_in_windows(len(failed))}
