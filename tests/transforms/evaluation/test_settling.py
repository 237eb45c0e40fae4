"""The precision `auto` becomes one that the models were tried in."""

import dataclasses

import pytest
import torch

from klue_beam.schemas.config import AUTO_PRECISION, PRECISIONS, ModelConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.annotate.sentences import Annotate
from klue_beam.transforms.evaluation.agreement import Agreement
from klue_beam.transforms.evaluation.settling import (
    FASTER_FORMS,
    TRIAL_SENTENCES,
    Trial,
    choose_trial,
    settle_precision,
    try_precisions,
)
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from tests.tiny_models import tiny_checkpoint

CPU = torch.device("cpu")
SAME = {"topic": Agreement(32, 32, 32), "entities": Agreement(80, 80, 80), "heads": Agreement(300, 300, 300)}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model")
    return resolve_models(ModelConfig(models=dict.fromkeys(TASKS, str(folder)), precision=AUTO_PRECISION))


def test_auto_becomes_one_of_the_precisions_and_nothing_else_changes(config: ModelConfig) -> None:
    threads = torch.get_num_threads()
    settled = settle_precision(config)
    assert settled.precision in PRECISIONS
    assert settled == dataclasses.replace(config, precision=settled.precision)
    assert torch.get_num_threads() == threads


def test_what_is_named_is_not_tried() -> None:
    """Not even loaded: the models need not be there."""
    named = ModelConfig(models=dict.fromkeys(TASKS, "no/such/folder"), precision="int8")
    assert settle_precision(named) is named


def test_every_form_is_tried_on_all_tasks(config: ModelConfig) -> None:
    """fp32 agrees with itself; another one was given up early, or is compared in every kind of label."""
    trials = try_precisions(config, FASTER_FORMS, CPU)
    assert [trial.precision for trial in trials] == ["fp32", "bf16", "int8"]
    assert trials[0].agrees
    assert trials[0].agreements["topic"] == Agreement(*(3 * [len(TRIAL_SENTENCES)]))
    for trial in trials:
        assert (trial.seconds is None) == (trial.agreements == {})
        assert trial.seconds is None or tuple(trial.agreements) == (
            "topic",
            "entities",
            "relations",
            "heads",
            "deprels",
        )


def test_a_form_that_the_models_do_not_run_in_is_left_out(
    config: ModelConfig, caplog: pytest.LogCaptureFixture
) -> None:
    trials = try_precisions(config, ("fp4",), CPU)
    assert trials[1] == Trial("fp4", None, {})
    assert "The models do not run in fp4." in caplog.text
    assert choose_trial(trials, CPU).precision == "fp32"


@pytest.mark.parametrize(
    ("seconds", "agreements", "chosen"),
    [
        (0.5, SAME, "int8"),
        (0.89, SAME, "int8"),
        (0.91, SAME, "fp32"),
        (None, {}, "fp32"),
        (0.5, {**SAME, "topic": Agreement(31, 32, 32)}, "int8"),
        (0.5, {**SAME, "topic": Agreement(30, 32, 32)}, "fp32"),
        (0.5, {**SAME, "heads": Agreement(298, 300, 300)}, "fp32"),
        (0.5, {**SAME, "heads": Agreement(997, 1000, 1000)}, "int8"),
        (0.5, {**SAME, "entities": Agreement(79, 81, 80)}, "fp32"),
    ],
)
def test_the_fastest_form_is_taken_whose_labels_agree(
    seconds: float | None, agreements: dict[str, Agreement], chosen: str
) -> None:
    """Of a kind one label in 200 may differ, or one; and it must save a tenth of the time."""
    trials = [Trial("fp32", 1.0, SAME), Trial("bf16", 0.95, SAME), Trial("int8", seconds, agreements)]
    assert choose_trial(trials, CPU).precision == chosen


@pytest.mark.parametrize(("seconds", "chosen"), [(0.53, "int8"), (0.55, "bf16"), (0.95, "bf16"), (None, "bf16")])
def test_a_less_exact_form_must_save_a_tenth_of_the_time_of_a_more_exact_one(
    seconds: float | None, chosen: str
) -> None:
    trials = [Trial("fp32", 1.0, SAME), Trial("bf16", 0.6, SAME), Trial("int8", seconds, SAME if seconds else {})]
    assert choose_trial(trials, CPU).precision == chosen


def test_models_are_not_loaded_before_the_precision_is_settled(config: ModelConfig) -> None:
    message = r"`precision` must be settled, one of fp32, bf16, int8, got 'auto'\. Choose one of them, or let"
    with pytest.raises(ValueError, match=message):
        load_engines(config)
    with pytest.raises(ValueError, match=message):
        Annotate(config)


def test_a_device_that_is_not_there_is_refused(config: ModelConfig) -> None:
    with pytest.raises(ValueError, match=r"`device` must be one of auto, cpu, cuda, got 'tpu'"):
        settle_precision(config, "tpu")
