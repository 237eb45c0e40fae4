"""How entities are read off a model's scores, fitted on labelled rows."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import SENTENCES, tiny_checkpoint
from transforms.formats.klue import EntityExample
from transforms.models.checkpoint import load_model
from transforms.models.engine import MultiTaskEngine
from transforms.models.spec import Calibration, ModelSpec
from transforms.models.training.entity_fit import fit_entities


def test_the_scores_of_entities_are_those_that_tell_right_ones_apart(tmp_path: Path) -> None:
    """Where just the entities above a score are right, a bound near it is chosen, and the model is left as it was."""
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "model"))
    texts = list(SENTENCES)
    found = MultiTaskEngine(model, tokenizer, ("ner",), token_budget=512, max_pairs=1).annotate(texts).entities
    assert found is not None
    types = model.spec.ner_types
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
    fitted = fit_entities(model, tokenizer, examples)
    score = fitted.min_entity_score
    assert 0 < score <= bound + 0.05
    assert score >= bound - 0.1
    assert model.spec == before
    # Of those kept about all are right, whatever their scores say.
    model.spec = fitted
    kept = MultiTaskEngine(model, tokenizer, ("ner",), token_budget=512, max_pairs=1).annotate(texts).entities
    assert kept is not None
    scores = kept.score[np.isin(np.array(kept.labels)[kept.label], types)]
    gold = sum(tag.startswith("B-") for row in tags for tag in row)
    assert abs(float(scores.mean()) - gold / len(scores)) < 0.05


def test_transitions_mend_what_tags_alone_get_wrong(tmp_path: Path) -> None:
    """Of a model that hardly tells tags apart, those sequences are kept that the labelled sentences have."""
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "model"))
    # Every mention is two characters of type PS at the beginning, whatever the model says.
    examples = [EntityExample(str(i), t, ("B-PS", "I-PS", *["O"] * (len(t) - 2))) for i, t in enumerate(SENTENCES)]
    model.spec = dataclasses.replace(model.spec, calibration={"ner": Calibration(1000.0)})
    before = model.spec
    fitted = fit_entities(model, tokenizer, examples)
    assert model.spec == before
    assert len(fitted.tag_transitions) == 2 * len(model.spec.ner_types) + 2
    fitted.save(tmp_path)
    assert ModelSpec.load(tmp_path) == fitted
    f1 = {}
    for name, spec in (("tags", dataclasses.replace(fitted, tag_transitions=())), ("transitions", fitted)):
        model.spec = spec
        entities = (
            MultiTaskEngine(model, tokenizer, ("ner",), token_budget=512, max_pairs=1).annotate(SENTENCES).entities
        )
        assert entities is not None
        found = set(zip(entities.text.tolist(), entities.begin.tolist(), entities.end.tolist(), strict=True))
        right = len(found & {(i, 0, 2) for i in range(len(SENTENCES))})
        f1[name] = 2 * right / (len(found) + len(SENTENCES))
    assert f1["transitions"] > f1["tags"]


def test_a_model_without_the_task_is_refused(tmp_path: Path) -> None:
    model, tokenizer = load_model(tiny_checkpoint(tmp_path / "model", tasks=("tc",)))
    with pytest.raises(
        ValueError, match=r"The model must have the task ner, got one without it\. Leave --ner_data out\."
    ):
        fit_entities(model, tokenizer, [])
