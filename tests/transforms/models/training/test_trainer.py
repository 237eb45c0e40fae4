"""The training loop: batches, resuming to the bit, and what it refuses; losses; calibration."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.labels import DEPRELS, NO_RELATION, RELATIONS, TOPICS
from tests.klue_rows import write_all
from tests.tiny_models import SENTENCES, tiny_checkpoint
from transforms.formats.klue import DependencyExample, read_dp, read_ner, read_re, read_tc
from transforms.models.checkpoint import load_model
from transforms.models.multitask import MultiTaskModel
from transforms.models.pieces import TextTokenizer
from transforms.models.training.calibration import calibrate, collect_outputs, fit_calibration, fit_threshold
from transforms.models.training.objectives import (
    IGNORE,
    DependencyObjective,
    EntityObjective,
    Objective,
    Output,
    RelationObjective,
    TopicObjective,
    encode_batch,
)
from transforms.models.training.trainer import STATE_FILE, Step, TrainConfig, hide_pieces, plan_batches, train

CONFIG = TrainConfig(epochs={}, batch_tokens=400, encoder_rate=3e-3, head_rate=1e-2, frozen_layers=-1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("data"), rows=40)


def make_objectives(model: MultiTaskModel, data: dict[str, Path]) -> list[Objective]:
    spec = model.spec
    return [
        TopicObjective("tc", read_tc(str(data["tc"])), TOPICS),
        EntityObjective("ner", read_ner(str(data["ner"])), spec.ner_types),
        RelationObjective("re", read_re(str(data["re"])), RELATIONS, spec.mention_types),
        DependencyObjective("dp", read_dp(str(data["dp"])), DEPRELS),
    ]


def run(
    base: Path, data: dict[str, Path], folder: Path, config: TrainConfig = CONFIG, stop_after: int | None = None
) -> tuple[MultiTaskModel, TextTokenizer, list[Step], bool]:
    model, tokenizer = load_model(base)
    steps: list[Step] = []
    torch.manual_seed(0)
    complete = train(
        model, nn.ModuleDict(), tokenizer, make_objectives(model, data), config, folder, steps.append, stop_after
    )
    return model, tokenizer, steps, complete


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_an_interrupted_run_ends_with_the_same_weights(
    base: Path, data: dict[str, Path], tmp_path: Path, dropout: float
) -> None:
    """Stopped after any steps and resumed, a run gives bit for bit the weights of an undisturbed one."""
    config = dataclasses.replace(CONFIG, piece_dropout=dropout)
    undisturbed, _, steps, complete = run(base, data, tmp_path / "whole", config)
    assert complete
    assert [step.step for step in steps] == list(range(1, steps[0].n_steps + 1))
    _, _, first, complete = run(base, data, tmp_path / "parts", config, stop_after=3)
    assert not complete
    _, _, second, complete = run(base, data, tmp_path / "parts", config, stop_after=5)
    assert not complete
    resumed, _, third, complete = run(base, data, tmp_path / "parts", config)
    assert complete
    assert [s.loss for s in (*first, *second, *third)] == [s.loss for s in steps]
    for (name, ours), (_, theirs) in zip(resumed.state_dict().items(), undisturbed.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), name


def test_a_checkpoint_of_another_run_is_refused(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Other options, or other data of the same size, are no continuation."""
    run(base, data, tmp_path / "run", stop_after=1)
    other = TrainConfig(epochs={}, batch_tokens=400, seed=9)
    with pytest.raises(ValueError, match=r"goes on only with the data and options that it began with; .*Give another"):
        run(base, data, tmp_path / "run", other)
    changed = dict(data)
    changed["tc"] = tmp_path / "tc.json"
    changed["tc"].write_text(data["tc"].read_text(encoding="utf-8").replace("야구단", "농구단"), encoding="utf-8")
    with pytest.raises(ValueError, match="goes on only with the data and options"):
        run(base, changed, tmp_path / "run")
    others = {
        "tc": ("스포츠", "정치"),
        "ner": ("-PS", "-OG"),
        "re": ("no_relation", "per:title"),
        "dp": ("_AJT", "_CNJ"),
    }
    for task, (old, new) in others.items():
        changed = {**data, task: tmp_path / data[task].name}
        text = data[task].read_text(encoding="utf-8")
        changed[task].write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match="goes on only with the data and options"):
            run(base, changed, tmp_path / "run")


def test_batches_hold_each_example_once_an_epoch(base: Path, data: dict[str, Path]) -> None:
    """In a whole epoch each usable example is in one batch; half an epoch takes half; long ones are counted."""
    model, tokenizer = load_model(base)
    objectives = make_objectives(model, data)
    config = TrainConfig(epochs={"tc": 2, "ner": 0.5, "re": 1, "dp": 1}, batch_tokens=200)
    plan = plan_batches(objectives, tokenizer, config, 62)
    counts = [np.zeros(40, dtype=int) for _ in objectives]
    for batch in plan.batches:
        np.add.at(counts[batch.objective], batch.index, 1)
    assert (counts[0] == 2).all()
    assert counts[1].sum() == 20
    assert (counts[3] == 1).all()
    assert plan.left_out == {"tc": 0, "ner": 0, "re": 0, "dp": 0}
    lengths = tokenizer.encode(objectives[1].texts).pieces.lengths
    short = plan_batches(objectives[1:2], tokenizer, config, int(np.median(lengths)))
    assert short.left_out["ner"] == (lengths > np.median(lengths)).sum()
    with pytest.raises(ValueError, match="Of ner, some example must have at most 3 pieces, got '40 longer ones'"):
        plan_batches(objectives[1:2], tokenizer, config, 3)


def test_frozen_layers_keep_their_weights(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """With one frozen layer the embeddings and that layer stay, the layers above and the heads move."""
    before, _ = load_model(base)
    config = TrainConfig(epochs={}, batch_tokens=400, frozen_layers=1)
    after, _, _, _ = run(base, data, tmp_path / "run", config)
    old = before.state_dict()
    for name, tensor in after.state_dict().items():
        frozen = name.startswith(("encoder.embeddings", "encoder.encoder.layer.0."))
        if frozen:
            assert torch.equal(tensor, old[name]), name
    assert not torch.equal(after.state_dict()["topic.output.weight"], old["topic.output.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_tokens": 0}, "`batch_tokens` must be at least 1, got 0"),
        ({"head_rate": 0.0}, r"`head_rate` must be above 0, got 0\.0"),
        ({"warmup_share": 2.0}, r"`warmup_share` must be from 0 to 1, got 2\.0"),
        ({"piece_dropout": 1.0}, r"`piece_dropout` must be at least 0 and below 1, got 1\.0"),
        ({"epochs": {"tc": -1.0}}, r"`epochs` of tc must be above 0, got -1\.0"),
    ],
)
def test_options_without_sense_are_refused(options: dict[str, object], message: str) -> None:
    """The rule, the value got and the remedy."""
    with pytest.raises(ValueError, match=message):
        TrainConfig(**({"epochs": {}} | options))  # type: ignore[arg-type]


def test_a_batch_of_which_nothing_is_known_costs_nothing() -> None:
    """Its loss is 0 with a gradient of 0, not NaN that would end the run's weights."""
    logits = torch.randn(3, 2, requires_grad=True)
    loss = Output(logits, torch.full((3,), IGNORE), label_smoothing=0.1).loss()
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(3, 2))


def test_the_loss_is_the_mean_of_what_is_known() -> None:
    """Ignored items do not count, weighted ones by their weight."""
    logits, labels = torch.randn(4, 3), torch.tensor([0, IGNORE, 2, 1])
    plain = functional.cross_entropy(logits, labels, ignore_index=IGNORE, label_smoothing=0.1)
    torch.testing.assert_close(Output(logits, labels, label_smoothing=0.1).loss(), plain)
    weights = torch.tensor([1.0, 5.0, 0.5, 0.0])
    each = functional.cross_entropy(logits[[0, 2]], labels[[0, 2]], reduction="none")
    expected = (each * weights[[0, 2]]).sum() / 1.5
    torch.testing.assert_close(Output(logits, labels, weights, weight=2.0).loss(), 2 * expected)


@pytest.mark.parametrize(
    ("forms", "heads"), [(("나는\u3000너를", "본다"), (2, 0)), (("나는", "본다"), (1, 0))], ids=["space", "own head"]
)
def test_trees_that_no_parser_could_learn_are_refused(forms: tuple[str, ...], heads: tuple[int, ...]) -> None:
    """A form with white space in it, or a word that is its own head, is named."""
    with pytest.raises(ValueError, match=r"A tree must be over white-space-separated words, none its own head, got x1"):
        DependencyObjective("dp", [DependencyExample("x1", forms, heads, ("NP", "VP"))], DEPRELS)


def nll(logits: Tensor, labels: Tensor, temperature: float = 1.0, bias: tuple[float, ...] = ()) -> float:
    scaled = logits.double() / temperature + (torch.tensor(bias) if bias else 0.0)
    return float(functional.cross_entropy(scaled, labels))


def test_calibration_lowers_the_likelihood_loss(base: Path, data: dict[str, Path]) -> None:
    """Of every output of the model, arcs with their impossible heads too, the fitted scores are likelier."""
    model, tokenizer = load_model(base)
    objectives = [(objective, np.arange(40)) for objective in make_objectives(model, data)]
    fitted = calibrate(model, tokenizer, objectives, RELATIONS, NO_RELATION)
    assert set(fitted) == {"tc", "ner", "re", "arc", "deprel"}
    for objective, index in objectives:
        for name, (logits, labels) in collect_outputs(objective, model, tokenizer, index).items():
            if name in ("mention", "re"):  # no_relation's bias is fitted for F1
                continue
            found = fitted[name]
            assert 0.05 <= found.temperature <= 20
            after = nll(logits.clamp(min=-1e4), labels, found.temperature, found.bias)
            assert after < nll(logits.clamp(min=-1e4), labels), name


def test_hidden_pieces_are_a_share_of_those_between_the_special_ones(base: Path) -> None:
    """The unknown piece stands in the place of about that share; special tokens, padding and the batch itself stay."""
    _, tokenizer = load_model(base)
    _, inputs = encode_batch([*SENTENCES * 20, "짧다"], tokenizer)
    torch.manual_seed(1)
    hidden = hide_pieces(inputs, tokenizer, 0.2).input_ids
    changed = hidden != inputs.input_ids
    assert (hidden[changed] == tokenizer.tokenizer.unk_token_id).all()
    special = np.isin(inputs.input_ids, tokenizer.tokenizer.all_special_ids)
    assert not changed[special].any()
    assert 0.15 < changed[~special].mean() < 0.25
    assert hide_pieces(inputs, tokenizer, 0.0) is inputs


def test_relations_get_the_shares_of_the_labelled_rows() -> None:
    """A model with wrong shares of the classes gets those of the rows, and then no_relation's bias with the best F1."""
    torch.manual_seed(1)
    labels = torch.cat((torch.zeros(60), torch.ones(10), torch.full((30,), 2.0))).long()
    logits = torch.randn(100, 3) * 0.1 + torch.tensor([0.0, 2.0, 0.0])
    fitted = fit_calibration(logits, labels, with_prior=True)
    shares = torch.softmax(logits / fitted.temperature + torch.tensor(fitted.bias), -1).mean(0)
    torch.testing.assert_close(shares, torch.tensor([0.6, 0.1, 0.3]), atol=0.02, rtol=0)
    chosen = fit_threshold(logits, labels, fitted, negative=0)
    assert chosen.temperature == fitted.temperature
    assert chosen.bias[1:] == fitted.bias[1:]
    # Every row asked for the commoner of the two relations is right in 30 of 100: better than to say nothing.
    assert chosen.bias[0] < fitted.bias[0]


def test_a_temperature_stays_within_bounds() -> None:
    """Rows that are all right, or all wrong, do not drive it to 0 or to infinity."""
    logits = torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    assert fit_calibration(logits, torch.tensor([0, 0])).temperature >= 0.05
    assert fit_calibration(logits, torch.tensor([1, 1])).temperature <= 20
    with pytest.raises(ValueError, match="Calibration must have labelled rows, got none"):
        fit_calibration(logits[:0], torch.zeros(0, dtype=torch.long))


def test_the_checkpoint_lies_in_the_folder(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """A stopped run leaves its state and nothing half written."""
    run(base, data, tmp_path / "run", stop_after=1)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["training_log.jsonl", STATE_FILE]


def test_an_even_calibration_does_not_learn_the_shares() -> None:
    random = np.random.default_rng(1)
    labels = torch.from_numpy(random.choice(3, p=[0.8, 0.1, 0.1], size=3000))
    logits = torch.from_numpy(2 * np.eye(3)[labels] + random.normal(size=(3000, 3)))
    shares = fit_calibration(logits, labels, with_prior=True)
    even = fit_calibration(logits, labels, with_prior=True, even=True)
    assert shares.bias[0] - max(shares.bias[1:]) > 1
    assert abs(even.bias[0] - max(even.bias[1:])) < 0.3
