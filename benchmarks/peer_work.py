"""The work that every side of benchmarks.peers does: the same sentences, and the same pairs of entities in them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks.random_checkpoints import POSITIONS, load_tokenizer, require_known
from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.relation.marking import mark_pair
from klue_beam.transforms.tasks.relation.pairs import Relations

MAX_PAIRS: Final = 2
"""So many pairs of a sentence are scored at most, on every side."""

ROOM_FOR_MARKS: Final = 8
"""Special tokens around a sentence, and four marks around two entities, with room to spare."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What is annotated.

    Attributes:
      rows: batch of SENTENCE.
      entities: between which relations are sought, as the column `entities` has them.
      marked: a marked sentence for each pair.
      unknown: share of tokens that the checkpoints' vocabulary does not know.
    """

    rows: pa.RecordBatch
    entities: pa.Array
    marked: Sequence[str]
    unknown: float

    @property
    def texts(self) -> list[str]:
        """The sentences."""
        texts: list[str] = self.rows.column("text").to_pylist()
        return texts


@dataclasses.dataclass(frozen=True)
class Pass:
    """Rows to bring through the engines of a configuration; klue-beam needs one, or two where pairs are given to it."""

    config: ModelConfig
    rows: pa.RecordBatch


def prepare_work(rows: pa.RecordBatch, model: str, precision: str) -> Work:
    """Choose the pairs: at most two a sentence, the nearest that the entities of a model make.

    Args:
      rows: batch of SENTENCE; sentences too long for an encoder of 512 positions are left out, since
        `transformers.pipeline` fails on them.
      model: a multi-task model whose entities they are.
      precision: one of PRECISIONS.

    Raises:
      ValueError: if the model cannot be found, or the text is not Korean.
    """
    tokenizer = load_tokenizer()
    lengths = np.array([len(ids) for ids in tokenizer(rows.column("text").to_pylist())["input_ids"]])
    rows = rows.filter(pa.array(lengths <= POSITIONS - ROOM_FOR_MARKS))
    texts = rows.column("text").to_pylist()
    config = ModelConfig(
        tasks=("ner", "re"), models=dict.fromkeys(TASKS, model), max_pairs=MAX_PAIRS, precision=precision
    )
    (engine,) = load_engines(resolve_models(config))
    found = engine.annotate(texts)
    entities: Entities = found.found["ner"]
    relations: Relations = found.found["re"]
    pairs, first = relations.scored, entities.offsets(len(texts))
    marked = [
        mark_pair(texts[text], entities, int(first[text] + subject), int(first[text] + object_), config.re_markers)[0]
        for text, subject, object_ in zip(pairs.text, pairs.subject, pairs.object, strict=True)
    ]
    column = entities.to_arrow(texts, found.flags["ner_failed"])
    return Work(rows, column, marked, require_known(tokenizer, texts))


def plan_passes(work: Work, models: Mapping[str, str], precision: str) -> list[Pass]:
    """Say what klue-beam does: one pass with a model of all tasks, else RE in a second pass, over the given pairs.

    Args:
      work: what is annotated.
      models: by task; the name of one multi-task model, or four checkpoints.
      precision: one of PRECISIONS.

    Raises:
      ValueError: if a model cannot be found or cannot serve its task.
    """
    config = ModelConfig(models=models, max_pairs=MAX_PAIRS, precision=precision)
    if len(set(models.values())) == 1:
        return [Pass(resolve_models(config), work.rows)]
    with_entities = work.rows.append_column("entities", work.entities)
    return [
        Pass(resolve_models(dataclasses.replace(config, tasks=("tc", "ner", "dp"))), work.rows),
        Pass(resolve_models(dataclasses.replace(config, tasks=("re",))), with_entities),
    ]
