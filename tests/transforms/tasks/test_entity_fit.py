"""How entities are read off a model's scores, fitted on labelled rows."""

import dataclasses
from pathlib import Path

import numpy as np

from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.engine.engine import MultiTaskEngine
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.entity.fit import fit_entities
from klue_beam.transforms.tasks.entity.gold import EntityExample
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.entity.tagging import count_transitions
from klue_beam.transforms.tasks.spec import Calibration
from klue_beam.transforms.training.calibration import ModelFit
from tests.tiny_models import SENTENCES, tiny_checkpoint


def test_the_scores_of_entities_are_those_that_tell_right_ones_apart(tmp_path: Path) -> None:
    """Where just the entities above a score are right, a bound near it is chosen, and the model is left as it was."""
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "model"))
    texts = list(SENTENCES)
    found = MultiTaskEngine(model, tokenizer, ("ner",), token_budget=512).annotate(texts).found["ner"]
    types = model.spec.of["ner"].ner_types
    found = found.take(np.isin(np.array(found.labels)[found.label], types))
    bound = float(np.quantile(found.score, 0.7))
    sure = found.take(found.score >= bound)
    assert 0 < len(sure) < len(found)
    tags = [["O"] * len(text) for text in texts]
    for text, begin, end, label in zip(sure.text, sure.begin, sure.end, sure.label, strict=True):
        name = found.labels[label]
        tags[text][begin:end] = [f"B-{name}"] + [f"I-{name}"] * (end - begin - 1)
    examples = [EntityExample(str(i), text, tuple(row)) for i, (text, row) in enumerate(zip(texts, tags, strict=True))]
    before = dataclasses.replace(model.spec)
    fitted = fit_entities(ModelFit(model, tokenizer, "ner", examples), model.spec)
    score = fitted.of["ner"].min_entity_score
    assert 0 < score <= bound + 0.05
    assert score >= bound - 0.1
    assert model.spec == before
    # Of those kept about all are right, whatever their scores say.
    model.spec = fitted
    kept = MultiTaskEngine(model, tokenizer, ("ner",), token_budget=512).annotate(texts).found["ner"]
    scores = kept.score[np.isin(np.array(kept.labels)[kept.label], types)]
    gold = sum(tag.startswith("B-") for row in tags for tag in row)
    assert abs(float(scores.mean()) - gold / len(scores)) < 0.05


def find(model: MultiTaskModel, tokenizer: TextTokenizer) -> Entities:
    """The entities of KLUE-NER's types."""
    found = MultiTaskEngine(model, tokenizer, ("ner",), token_budget=512).annotate(SENTENCES).found["ner"]
    return found.take(np.isin(np.array(found.labels)[found.label], model.spec.of["ner"].ner_types))


def test_transitions_mend_what_tags_alone_get_wrong(tmp_path: Path) -> None:
    """Of a model that hardly tells tags apart, the mentions that the labelled sentences have are found."""
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "model"))
    n_tags = 2 * len(model.spec.of["ner"].ner_types) + 1
    # Every mention is the first two characters; its type is the one that the model likes best there.
    like = count_transitions([np.array([1, 2, *[0] * 20])] * 10, n_tags, 1.0)
    unsure = dataclasses.replace(model.spec, calibration={"ner": Calibration(1000.0)})
    model.spec = unsure.change("ner", tag_transitions=tuple(map(tuple, like.tolist())))
    gold = find(model, tokenizer)
    assert (gold.text.tolist(), gold.begin.tolist()) == (list(range(len(SENTENCES))), [0] * len(SENTENCES))
    types = [gold.labels[label] for label in gold.label]
    examples = [
        EntityExample(str(i), text, (f"B-{name}", *[f"I-{name}"] * (end - 1), *["O"] * (len(text) - end)))
        for i, (text, name, end) in enumerate(zip(SENTENCES, types, gold.end.tolist(), strict=True))
    ]
    model.spec = unsure
    fitted = fit_entities(ModelFit(model, tokenizer, "ner", examples), model.spec)
    assert model.spec == unsure
    assert len(find(model, tokenizer)) > len(gold)
    fitted.save(tmp_path)
    assert ModelSpec.load(tmp_path) == fitted
    model.spec = fitted
    found = find(model, tokenizer)
    assert [found.labels[label] for label in found.label] == types
    assert (found.text.tolist(), found.begin.tolist(), found.end.tolist()) == (
        gold.text.tolist(),
        gold.begin.tolist(),
        gold.end.tolist(),
    )
