"""What a training run begins with: its model, its data, its teacher."""

import argparse
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn
from transformers import AutoTokenizer

from beam_pipelines.options import format_of
from schemas.labels import DEPRELS, NER_TYPES
from transforms.config import ReadConfig, require
from transforms.formats.klue import (
    READERS,
    EntityExample,
    read_dp,
    read_ner,
    read_re,
    read_tc,
    split_dependency_examples,
)
from transforms.models.checkpoint import check_embeddings, load_encoder, load_model
from transforms.models.folders import hash_folder, resolve_folder
from transforms.models.heads import DependencyHead
from transforms.models.multitask import MultiTaskModel
from transforms.models.pieces import TextTokenizer
from transforms.models.spec import PAIR_LAYERS, ModelSpec
from transforms.models.training.distillation import TextObjective, check_teacher
from transforms.models.training.entity_forms import vary_entities
from transforms.models.training.fast_training import train_fast
from transforms.models.training.headlines import vary_headlines
from transforms.models.training.mention_rows import MentionObjective, tag_mentions
from transforms.models.training.objectives import (
    DependencyObjective,
    EntityObjective,
    Objective,
    RelationObjective,
    TopicObjective,
)
from transforms.models.training.pair_rows import PairObjective, load_pair_rows, shorten_row
from transforms.models.training.relation_rows import keep_around_pair, swap_mentions
from transforms.models.training.scratch import build_random_encoder, start_from_scratch
from transforms.models.training.student import keep_layers, keep_units
from transforms.models.training.texts import read_texts, split_texts
from transforms.models.training.topic_rows import SoftTopicObjective, load_topic_rows
from transforms.models.training.trainer import STATE_FILE, Teacher
from transforms.models.training.treebanks import read_head_final
from transforms.models.training.vocabulary import cut_vocabulary
from transforms.models.training.weak_entities import (
    label_weakly,
    load_entities,
    read_form_table,
    read_raw_sentences,
    save_entities,
)

SCRATCH: Final = "scratch"
"""The base that is none."""

SCRATCH_LAYERS: Final = 6


def start_model(options: argparse.Namespace, tasks: tuple[str, ...]) -> tuple[MultiTaskModel, TextTokenizer]:
    """Give the model that a run begins with.

    Args:
      options: of `klue-beam train`. A `base` that is a multi-task model with the tasks goes on with all its heads; any
        other encoder gets new ones.
      tasks: the tasks to learn.

    Raises:
      ValueError: if there is no such base, or it cannot be cut to so many layers.
    """
    name = options.name or Path(options.output).resolve().name
    folder = resolve_folder(options.base)
    if folder is not None and set(tasks) <= set(ModelSpec.load(folder).tasks):
        model, tokenizer = load_model(folder)
        if options.layers is not None or options.pair_layers is not None:
            layers = model.encoder.config.num_hidden_layers if options.layers is None else options.layers
            pair_layers = min(model.spec.pair_layers, layers) if options.pair_layers is None else options.pair_layers
            model = keep_layers(model, layers, pair_layers)
        if options.intermediate_size is not None:
            model = keep_units(model, options.intermediate_size)
        fresh = model.spec.without_fit()
        model.spec = dataclasses.replace(fresh, name=name, embeddings_of=options.embeddings_of)
        _prepare(model, options)
        if options.vocabulary_texts:
            texts = _read_documents(options.vocabulary_texts)
            model.encoder, tokenizer = cut_vocabulary(model.encoder, tokenizer, texts)
        check_embeddings(model)
        return model, tokenizer
    # The mentions that only KLUE-RE marks are learnt from it, beside the entities of KLUE-NER.
    spec = ModelSpec(
        name=name,
        tasks=tasks,
        mention_types=tuple(options.mention_types.split(",")) if {"ner", "re"} <= set(tasks) else (),
        pair_layers=PAIR_LAYERS if options.pair_layers is None else options.pair_layers,
        embeddings_of=options.embeddings_of,
    )
    encoder, tokenizer = _start_encoder(options)
    model = MultiTaskModel(spec, encoder)
    model.copy_pair_layers()
    check_embeddings(model)
    _prepare(model, options)
    return model, tokenizer


def _prepare(model: MultiTaskModel, options: argparse.Namespace) -> None:
    """Let a model train fast, and its pairs see so many tokens around them as asked."""
    train_fast(model)
    if options.pair_context is not None:
        model.spec = dataclasses.replace(model.spec, pair_context=options.pair_context)
    if "re" in model.spec.tasks:
        model.relation.context = model.spec.pair_context


def _start_encoder(options: argparse.Namespace) -> tuple[Any, TextTokenizer]:
    """Give an encoder and its tokenizer: a base's, with the vocabulary cut on request, or new ones."""
    require(
        options.intermediate_size is None,
        "`--intermediate_size` must be given with a base that is a model folder with the tasks",
        options.base,
        "Train that first, then a student of it.",
    )
    if options.base == SCRATCH:
        return _start_from_scratch(options)
    require(
        options.layers is None,
        "`--layers` must be given with a base that is a model folder with the tasks, or with `scratch`",
        options.base,
        "Train that first, then a student of it.",
    )
    encoder, tokenizer = load_encoder(options.base)
    if options.vocabulary_texts:
        return cut_vocabulary(encoder, tokenizer, _read_documents(options.vocabulary_texts))
    return encoder, tokenizer


def _read_documents(inputs: Sequence[str]) -> list[str]:
    """List the texts of files, in the format that their suffixes tell; one a line where they tell none."""
    configs = [(path, ReadConfig(input_format=format_of(path) or "text")) for path in inputs]
    return [text for path, config in configs for text in read_texts([path], config)]


def _start_from_scratch(options: argparse.Namespace) -> tuple[Any, TextTokenizer]:
    """Train a tokenizer, or take the one that an interrupted run left, and build random weights for it."""
    require(
        bool(options.vocabulary_texts),
        "`--base scratch` must have texts to make a vocabulary of (`--vocabulary_texts`)",
        "none",
        "Give files of the kind that the model is for.",
    )
    folder = Path(options.output)
    sizes = {"layers": options.layers, "hidden_size": options.hidden_size, "heads": options.heads, "seed": options.seed}
    if options.layers is None:
        sizes["layers"] = SCRATCH_LAYERS
    if (folder / STATE_FILE).is_file():
        tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(folder))
        return build_random_encoder(tokenizer, **sizes), tokenizer
    texts = _read_documents(options.vocabulary_texts)
    encoder, tokenizer = start_from_scratch(texts, vocab_size=options.vocab_size, **sizes)
    tokenizer.tokenizer.save_pretrained(folder)
    return encoder, tokenizer


def load_teacher(options: argparse.Namespace, student: MultiTaskModel, tokenizer: TextTokenizer) -> Teacher | None:
    """Load the teacher, if one is asked for.

    Raises:
      ValueError: if it is no multi-task model, or the student cannot learn from it.
    """
    if options.teacher is None:
        return None
    models, hashes = [], []
    for name in options.teacher.split(","):
        folder = resolve_folder(name)
        if folder is None:
            raise ValueError(
                f"`--teacher` must be a model folder that `klue-beam train` wrote, got {name!r}. Check the path."
            )
        teacher, its_tokenizer = load_model(folder)
        check_teacher(teacher, its_tokenizer, student, tokenizer)
        models.append(teacher)
        hashes.append(hash_folder(folder))
    weights = options.teacher_weight, options.state_weight
    return Teacher(models[0], ",".join(hashes), weights[0], tuple(models[1:]), weights[1])


def load_objectives(
    tasks: Sequence[str],
    data: Mapping[str, str],
    model: MultiTaskModel,
    tokenizer: TextTokenizer,
    extra: nn.ModuleDict,
    folder: Path,
    *,
    hold_out_dp: bool,
    teacher: MultiTaskModel | None = None,
    pair_context_chars: int | None = None,
    swap_share: float = 0.0,
    seed: int = 1,
    even_topics: bool = False,
) -> list[Objective]:
    """Read the data sets of a run.

    Args:
      tasks: the tasks to learn.
      data: file by name.
      model: gives label sets and sizes.
      tokenizer: the model's.
      extra: heads that serve training only are added to it.
      folder: the run's folder; weak labels are made once and kept there.
      hold_out_dp: leave out the fifth of the KLUE-DP rows that scores are quoted on.
      teacher: labels texts without labels.
      pair_context_chars: code points around the pair that KLUE-RE's rows are shortened to; None for whole rows.
      swap_share: of the mentions of KLUE-RE's rows that get another name.
      seed: of which these are, and of how headlines and sentences are varied.
      even_topics: learn topics as if each were alike frequent.
    """
    spec = model.spec
    objectives: list[Objective] = []
    if "tc" in tasks:
        objectives.append(TopicObjective("tc", read_tc(data["tc"]), spec.topics, even=even_topics))
        if "tc_said" in data:
            said = vary_headlines(read_tc(data["tc_said"]), seed)
            objectives.append(TopicObjective("tc_said", said, spec.topics, even=even_topics))
        if "tc_bodies" in data:
            objectives.append(SoftTopicObjective("tc_bodies", load_topic_rows(data["tc_bodies"]), spec.topics))
    if "ner" in tasks:
        objectives += _entity_objectives(data, spec, folder, seed)
    if "re" in tasks:
        rows = swap_mentions(read_re(data["re"]), swap_share, seed)
        if pair_context_chars is not None:
            rows = [keep_around_pair(row, pair_context_chars) for row in rows]
        objectives.append(RelationObjective("re", rows, spec.relations, spec.mention_types))
        if "re_pairs" in data:
            pair_rows = [shorten_row(row, pair_context_chars or 100, 200) for row in load_pair_rows(data["re_pairs"])]
            objectives.append(PairObjective("re_pairs", pair_rows, spec.relations))
    if "dp" in tasks:
        trees = read_dp(data["dp"])
        trees = split_dependency_examples(trees)[0] if hold_out_dp else trees
        objectives.append(DependencyObjective("dp", trees, DEPRELS))
        if "dp_aux" in data:
            others = read_head_final(data["dp_aux"])
            deprels = sorted({deprel for tree in others for deprel in tree.deprels})
            head = DependencyHead(model.encoder.config.hidden_size, spec.arc_size, spec.label_size, len(deprels))
            extra["dp_aux"] = head
            objectives.append(DependencyObjective("dp_aux", others, deprels, head))
    if "text" in data:
        if teacher is None:
            raise AssertionError("texts without a teacher are refused before")
        objectives.append(TextObjective("text", split_texts(_read_documents([data["text"]])), teacher, tokenizer))
    return objectives


def _entity_objectives(data: Mapping[str, str], spec: ModelSpec, folder: Path, seed: int) -> list[Objective]:
    """Read the data sets of entities and mentions."""
    gold = read_ner(data["ner"])
    weak = _weak_entities(data, gold, folder) if "ner_raw" in data else []
    objectives: list[Objective] = [EntityObjective("ner", gold, spec.ner_types)]
    if weak:
        objectives.append(EntityObjective("ner_raw", weak, NER_TYPES))
    if "ner_varied" in data:
        varied = vary_entities([*read_ner(data["ner_varied"]), *weak], seed)
        objectives.append(EntityObjective("ner_varied", varied, spec.ner_types))
    if "ner_mentions" in data and spec.mention_types:
        texts, forms = read_raw_sentences(data["ner_mentions"]), read_form_table(data["ner_forms"])
        objectives.append(MentionObjective("ner_mentions", tag_mentions(texts, forms), spec.mention_types))
    return objectives


def _weak_entities(data: Mapping[str, str], gold: Sequence[EntityExample], folder: Path) -> list[EntityExample]:
    """Label sentences weakly, which takes minutes; a run that goes on with the same files finds them in its folder."""
    texts, forms = read_raw_sentences(data["ner_raw"], gold), read_form_table(data["ner_forms"])
    asked = repr((texts, forms, [(example.text, example.tags) for example in gold]))
    path = folder / f"weak_entities-{hashlib.sha256(asked.encode()).hexdigest()[:12]}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_entities(path, label_weakly(texts, forms, gold))
    return load_entities(path)


def load_dev_rows(files: Mapping[str, str], n_rows: int, seed: int) -> dict[str, list[Any]]:
    """Read rows to score a model in training on; of KLUE-DP those that training leaves out.

    Args:
      files: file by task.
      n_rows: at most so many of each, chosen by the seed.
      seed: of the choice.
    """
    chosen = {}
    for task, path in files.items():
        rows = list(READERS[task](path))
        rows = list(split_dependency_examples(rows)[1]) if task == "dp" else rows
        order = np.sort(np.random.default_rng(seed).permutation(len(rows))[:n_rows])
        chosen[task] = [rows[i] for i in order]
    return chosen
