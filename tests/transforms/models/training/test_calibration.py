"""Calibration fitted on labelled rows."""

import dataclasses
from pathlib import Path

import numpy as np

from tests.tiny_models import SENTENCES, tiny_checkpoint
from transforms.formats.klue import EntityExample
from transforms.models.checkpoint import load_model
from transforms.models.engine import MultiTaskEngine
from transforms.models.training.calibration import fit_entity_scores


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
    score, _, worth = fit_entity_scores(model, tokenizer, examples)
    assert 0 < score <= bound + 0.05
    assert score >= bound - 0.1
    assert model.spec == before
    # Of those kept about all are right, whatever their scores say.
    assert worth is not None
    model.spec = dataclasses.replace(model.spec, min_entity_score=score, calibration={"entity": worth})
    kept = MultiTaskEngine(model, tokenizer, ("ner",), token_budget=512, max_pairs=1).annotate(texts).entities
    assert kept is not None
    scores = kept.score[np.isin(np.array(kept.labels)[kept.label], types)]
    gold = sum(tag.startswith("B-") for row in tags for tag in row)
    assert abs(float(scores.mean()) - gold / len(scores)) < 0.05
