"""Fast training: the same scores as the plain layers, and dropout that is one."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from schemas.labels import RELATIONS
from tests.klue_rows import write_re
from tests.tiny_models import tiny_checkpoint
from transforms.formats.klue import read_re
from transforms.models.checkpoint import load_model
from transforms.models.multitask import MultiTaskModel
from transforms.models.pieces import TextTokenizer
from transforms.models.training.fast_training import PooledDropout, drop, train_fast
from transforms.models.training.objectives import RelationObjective, run_objective


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[MultiTaskModel, TextTokenizer, RelationObjective]:
    folder = tmp_path_factory.mktemp("fast")
    model, tokenizer = load_model(tiny_checkpoint(folder / "model"))
    rows = read_re(str(write_re(folder / "re.json", rows=12)))
    return model, tokenizer, RelationObjective("re", rows, RELATIONS, model.spec.mention_types)


def scores(model: MultiTaskModel, tokenizer: TextTokenizer, objective: RelationObjective) -> dict[str, Tensor]:
    return {name: out.logits for name, out in run_objective(objective, model, tokenizer, np.arange(12)).items()}


def test_without_dropout_the_scores_and_gradients_are_those_of_the_plain_layers(
    loaded: tuple[MultiTaskModel, TextTokenizer, RelationObjective],
) -> None:
    model, tokenizer, objective = loaded
    plain, fast = copy.deepcopy(model), copy.deepcopy(model)
    train_fast(fast)
    for one in (plain, fast):
        one.eval()
    found = [scores(one, tokenizer, objective) for one in (plain, fast)]
    for name, logits in found[0].items():
        assert torch.allclose(logits, found[1][name], atol=1e-4), name
    for logits in found:
        logits["re"].square().sum().backward()
    pairs = zip(plain.named_parameters(), fast.named_parameters(), strict=True)
    compared = [(name, a.grad, b.grad) for (name, a), (_, b) in pairs if a.grad is not None]
    assert len(compared) > 20
    for name, ours, theirs in compared:
        assert theirs is not None
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6 + 1e-3 * float(ours.abs().max())), name


def test_every_dropout_is_pooled_and_drops_in_training_only(
    loaded: tuple[MultiTaskModel, TextTokenizer, RelationObjective],
) -> None:
    model, tokenizer, objective = loaded
    fast = copy.deepcopy(model)
    train_fast(fast)
    assert not any(type(module) is nn.Dropout for module in fast.modules())
    assert list(fast.state_dict()) == list(model.state_dict())
    fast.train()
    torch.manual_seed(1)
    one, other = (scores(fast, tokenizer, objective)["re"] for _ in range(2))
    assert not torch.equal(one, other)
    torch.manual_seed(1)
    assert torch.equal(one, scores(fast, tokenizer, objective)["re"])
    fast.eval()
    assert torch.equal(*(scores(fast, tokenizer, objective)["re"] for _ in range(2)))


def test_drop_keeps_the_mean_and_its_share() -> None:
    x = torch.ones(300, 400)
    dropped = drop(x, 0.1)
    assert abs((dropped == 0).float().mean().item() - 0.1) < 0.01
    assert abs(dropped.mean().item() - 1) < 0.01
    assert drop(x.bfloat16(), 0.1).dtype == torch.bfloat16
    assert torch.equal(drop(x, 0.0), x)
    large = drop(x, 0.2, size=1000)
    assert abs((large == 0).float().mean().item() - 0.2) < 0.01
    layer = PooledDropout(0.5)
    assert torch.equal(layer.eval()(x), x)
    assert not torch.equal(layer.train()(x), x)
