"""The forms that weights run in, and where."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from beam_pipelines.options import infer_format
from transforms.agreement import compare_labels
from transforms.annotate import annotate
from transforms.config import AnnotateConfig, ModelConfig, ReadConfig
from transforms.models.checkpoint import dequantize_rows, quantize_rows
from transforms.models.loading import load_engines
from transforms.models.precision import Int8Linear, apply_precision, choose_device
from transforms.models.resolving import resolve_models
from transforms.plan import make_plan
from transforms.read import read_shard
from transforms.split import load_splitter, split_sentences

SENTENCES = 48


def make_linear(seed: int, bias: bool = True) -> nn.Linear:
    """A layer whose weights were stored as int8."""
    torch.manual_seed(seed)
    linear = nn.Linear(48, 32, bias=bias)
    with torch.no_grad():
        linear.weight.copy_(dequantize_rows(*quantize_rows(linear.weight)))
    return linear


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([(1,), (7,), (2, 5)]))
def test_an_int8_layer_is_near_the_layer_that_it_takes_the_place_of(
    seed: int, bias: bool, shape: tuple[int, ...]
) -> None:
    """Each token's error is bounded by its own values, however large those of the tokens beside it."""
    linear = make_linear(seed, bias)
    x = torch.randn(*shape, 48) * 10 ** torch.empty(*shape, 1).uniform_(-3, 3)
    with torch.inference_mode():
        error = (Int8Linear(linear)(x) - linear(x)).abs().amax(-1)
        # Half a step of an input, of 7 bits over twice the largest value, for each weight, and what the sums round off.
        bound = x.abs().amax(-1) * (0.6 / 63) * linear.weight.abs().sum(1).max() + 1e-5
    assert bool((error <= bound).all())


def test_tokens_of_zeros_stay_zeros() -> None:
    linear = make_linear(1)
    with torch.inference_mode():
        torch.testing.assert_close(Int8Linear(linear)(torch.zeros(2, 48)), linear.bias.expand(2, 32))


def test_int8_replaces_every_linear_layer_of_the_named_parts() -> None:
    part, other = nn.Sequential(make_linear(1), nn.ModuleList([make_linear(2)])), make_linear(3)
    model = apply_precision(SimpleNamespace(part=part, other=other), "int8", ("part",))
    kinds = [type(module) for module in model.part.modules()]
    assert kinds.count(Int8Linear) == 2
    assert nn.Linear not in kinds
    assert model.other is other


def test_int8_gives_most_labels_that_fp32_gives(checkout: Path) -> None:
    """The embedded model on the bundled sample, in the 7 bits of a processor without instructions for 8, too."""
    sample = [str(checkout / "examples" / "sample" / "sample.jsonl")]
    config = AnnotateConfig(read=ReadConfig(input_format=infer_format(sample)))
    (chunk,) = read_shard(make_plan(sample, config).shards[0], config.read)
    rows = split_sentences(chunk.rows, load_splitter("fast")).slice(0, SENTENCES)
    found, expected = (
        annotate(rows, load_engines(resolve_models(ModelConfig(precision=form))))[0] for form in ("int8", "fp32")
    )
    agreements = compare_labels(found, expected)
    assert agreements["topic"].expected == SENTENCES
    assert {kind: round(one.share, 3) for kind, one in agreements.items() if one.share < 0.8} == {}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_cpu_can_be_chosen_for_every_precision(precision: str) -> None:
    assert choose_device("cpu", precision) == torch.device("cpu")


def test_auto_is_the_gpu_where_there_is_one_but_for_int8() -> None:
    assert choose_device("auto", "fp32").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("auto", "int8").type == "cpu"


def test_a_gpu_does_not_run_int8() -> None:
    with pytest.raises(
        ValueError, match=r"`device` must be cpu with the precision int8, got 'cuda'\. Leave it out, or"
    ):
        choose_device("cuda", "int8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"`device` must be one that torch \S+ sees, got 'cuda'\. Leave it out"):
        choose_device("cuda", "fp32")


def test_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`device` must be one of auto, cpu, cuda, got 'gpu'\. Choose one of them\."):
        choose_device("gpu", "fp32")
