"""Nearly gold entity tags for sentences without labels, from a table of entity forms and some gold sentences.

The table says how often a form was tagged with which fine label in the corpus that the sentences come from. Where a
form stands, how sure it is there and what it excludes depends on its neighbours, so a small character tagger learns it
from the gold sentences: it reads the characters, the table's matches at each, and how often each matched form was
an entity. Its sure entities become tags, its doubtful ones None, which a loss leaves out.

Sources of the method: gazetteer features (Chiu and Nichols, 2016, https://arxiv.org/abs/1511.08308); leaving out
what weak labels cannot tell (Mengge et al., 2020, "Coarse-to-Fine Pre-training for Named Entity Recognition").
"""

import dataclasses
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.tasks.entity.char_tagger import FormEncoder, FormTable, tag_probabilities, train_tagger
from klue_beam.transforms.tasks.entity.gold import NER_TAGS, EntityExample, mentions_of_tags
from klue_beam.transforms.tasks.gold import read_text

SURE_ENTITY: Final = 0.8
SURE_UNKNOWN_ENTITY: Final = 0.9
SURE_OUTSIDE: Final = 0.95
"""An entity is sure if each of its characters' tags has this probability (the second where its form does not stand in
the table with its type), a character outside if O has. Learnt from 4,000 of KLUE-NER's first 5,000 sentences and
measured on the other 1,000: 92.9 % of the entities tagged are right, 78.9 % of the gold ones are tagged, 1.8 % have a
character tagged O, 5.3 % of all characters are left out, 0.24 % of those tagged O are in an entity."""


@dataclasses.dataclass(frozen=True, slots=True)
class WeakLabelQuality:
    """How weak tags compare with gold ones, as shares from 0 to 1.

    Attributes:
      precision, recall: of the entities tagged, spans and types exact.
      missed: gold entities with at least one character tagged O.
      ignored: characters tagged None.
      outside_error: characters tagged O that are in a gold entity, of all tagged O.
    """

    precision: float
    recall: float
    missed: float
    ignored: float
    outside_error: float


def read_form_table(path: str) -> dict[str, dict[str, int]]:
    """Read a table with the tab-separated columns form, label and train_freq.

    Raises:
      ValueError: on a malformed line, with its path and line.
    """
    table: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        columns = line.split("\t")
        if number == 1 and columns[:1] == ["form"]:
            continue
        if len(columns) != 3 or not columns[0] or not columns[2].isdecimal():
            raise ValueError(
                f"{path}, line {number}: a line must be form, label and frequency, got {line[:80]!r}. Correct it."
            )
        labels = table.setdefault(columns[0], {})
        labels[columns[1]] = labels.get(columns[1], 0) + int(columns[2])
    return table


def read_raw_sentences(path: str, known: Iterable[EntityExample] = ()) -> list[str]:
    """Read a table with the tab-separated columns guid and sentence, without sentences that are known.

    Args:
      path: the table.
      known: sentences to leave out (those with gold tags, those of a test set), by guid or text. Texts are compared
        without white space and in compatibility form (NFKC), since copies of a corpus differ in both.

    Returns:
      The other sentences, each text once.

    Raises:
      ValueError: on a malformed line, with its path and line.
    """
    examples = list(known)
    guids, seen = {example.guid for example in examples}, {_folded(example.text) for example in examples}
    sentences = []
    for number, line in _lines(path):
        columns = line.split("\t")
        if len(columns) != 2 or not columns[1].strip():
            raise ValueError(f"{path}, line {number}: a line must be guid and sentence, got {line[:80]!r}. Correct it.")
        folded = _folded(columns[1])
        if columns[0] not in guids and folded not in seen:
            sentences.append(columns[1])
        seen.add(folded)
    return sentences


def label_weakly(
    texts: Sequence[str],
    table: FormTable,
    gold: Sequence[EntityExample],
    *,
    members: int = 2,
    epochs: int = 12,
    seed: int = 0,
) -> list[EntityExample]:
    """Tag sentences from the form table and what gold sentences teach of it.

    Args:
      texts: sentences of the corpus that the table was counted on.
      table: forms with their labels and frequencies.
      gold: sentences of the same corpus with gold tags, none of which is None.
      members: character taggers to train, of different seeds; their probabilities are averaged.
      epochs: passes over `gold` in training each.
      seed: of the first tagger.

    Returns:
      One example a text, in order, named `weak-0`, `weak-1`, …; tags are NER_TAGS, or None where the tag is doubtful.

    Raises:
      ValueError: if there is no gold sentence, no tagger or no epoch, or a text is empty.
    """
    for name, value in (("gold", len(gold)), ("members", members), ("epochs", epochs)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}. Give gold sentences, a tagger, an epoch.")
    if not all(texts):
        raise ValueError("`texts` must each hold a character, got an empty one. Leave it out.")
    encoder = FormEncoder(table, [*(example.text for example in gold), *texts])
    taggers = [train_tagger(encoder, gold, epochs, seed + member) for member in range(members)]
    examples = []
    for index, (text, probabilities) in enumerate(zip(texts, tag_probabilities(taggers, encoder, texts), strict=True)):
        examples.append(EntityExample(f"weak-{index}", text, _sure_tags(text, probabilities, table)))
    return examples


def measure_quality(labelled: Sequence[EntityExample], gold: Sequence[EntityExample]) -> WeakLabelQuality:
    """Compare weak tags with gold ones of the same sentences, in the same order."""
    correct = tagged = entities = missed = ignored = characters = outside = wrong_outside = 0
    for weak, true in zip(labelled, gold, strict=True):
        mentions = set(mentions_of_tags(true.tags))
        found = set(mentions_of_tags(weak.tags))
        correct, tagged, entities = correct + len(found & mentions), tagged + len(found), entities + len(mentions)
        missed += sum("O" in weak.tags[mention.begin : mention.end] for mention in mentions)
        ignored, characters = ignored + weak.tags.count(None), characters + len(weak.tags)
        outside += weak.tags.count("O")
        wrong_outside += sum(tag == "O" != other for tag, other in zip(weak.tags, true.tags, strict=True))
    return WeakLabelQuality(
        correct / max(tagged, 1),
        correct / max(entities, 1),
        missed / max(entities, 1),
        ignored / max(characters, 1),
        wrong_outside / max(outside, 1),
    )


def keep_weak_entities(raw: str, forms: str, gold: Sequence[EntityExample], folder: Path) -> list[EntityExample]:
    """Label sentences weakly, which takes minutes; a run that goes on with the same files finds them in its folder.

    Args:
      raw: file of sentences.
      forms: file of the table.
      gold: sentences with their tags.
      folder: the run's; made if absent.
    """
    texts, table = read_raw_sentences(raw, gold), read_form_table(forms)
    asked = repr((texts, table, [(example.text, example.tags) for example in gold]))
    path = folder / f"weak_entities-{hashlib.sha256(asked.encode()).hexdigest()[:12]}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_entities(path, label_weakly(texts, table, gold))
    return load_entities(path)


def save_entities(path: Path, examples: Iterable[EntityExample]) -> None:
    """Write examples as JSON lines, so that a training run that resumes reads the very same tags."""
    lines = (json.dumps(dataclasses.asdict(example), ensure_ascii=False) for example in examples)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(path)


def load_entities(path: Path) -> list[EntityExample]:
    """Read back what `save_entities` wrote.

    Raises:
      ValueError: on a line that is no such example, with its path and line.
    """
    examples = []
    for number, line in _lines(str(path)):
        try:
            row = json.loads(line)
            examples.append(EntityExample(row["guid"], row["text"], tuple(row["tags"])))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path}, line {number}: no example of entity tags, got {line[:80]!r}. Correct it."
            ) from error
    return examples


def _lines(path: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip())


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def _sure_tags(text: str, probabilities: npt.NDArray[np.float64], table: FormTable) -> tuple[str | None, ...]:
    """Take the best entities, and turn all that is doubtful into None."""
    tags: list[str | None] = ["O" if p >= SURE_OUTSIDE else None for p in probabilities[:, 0]]
    for begin, end, entity_type in mentions_of_tags(_best_tags(probabilities)):
        first, inside = NER_TAGS.index(f"B-{entity_type}"), NER_TAGS.index(f"I-{entity_type}")
        sureness = min([probabilities[begin, first], *probabilities[begin + 1 : end, inside]])
        if end < len(text):
            sureness = min(sureness, 1 - probabilities[end, inside])
        known = any(label.startswith(entity_type) for label in table.get(text[begin:end], ()))
        sure = sureness >= (SURE_ENTITY if known else SURE_UNKNOWN_ENTITY)
        tags[begin:end] = [NER_TAGS[first], *[NER_TAGS[inside]] * (end - begin - 1)] if sure else [None] * (end - begin)
    return tuple(tags)


def _best_tags(probabilities: npt.NDArray[np.float64]) -> list[str]:
    """Find the likeliest tags in which every I- goes on with an entity of its type (Viterbi)."""
    allowed = np.array([[tag[0] != "I" or before in (tag, f"B-{tag[2:]}") for tag in NER_TAGS] for before in NER_TAGS])
    steps = np.where(allowed, 0.0, -np.inf)
    scores = np.log(probabilities + 1e-12)
    best = scores[0] + steps[0]
    previous = []
    for score in scores[1:]:
        paths = best[:, None] + steps
        previous.append(paths.argmax(0))
        best = paths.max(0) + score
    path = [int(best.argmax())]
    for came_from in reversed(previous):
        path.append(int(came_from[path[-1]]))
    return [NER_TAGS[index] for index in reversed(path)]
