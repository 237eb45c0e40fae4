"""The forms that weights run in, and where."""

import copy
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import BertConfig, BertModel

from klue_beam.beam_pipelines.commands.inputs import infer_format
from klue_beam.schemas.config import AnnotateConfig, ModelConfig, ReadConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.evaluation.agreement import Agreement, compare_labels
from klue_beam.transforms.models.checkpoints.checkpoint import dequantize_rows, load_model, quantize_rows
from klue_beam.transforms.models.checkpoints.folders import EMBEDDED_DIR
from klue_beam.transforms.models.engine.engine import MultiTaskEngine
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.models.nets.linear import Int8Linear, PackedLinear, RoundedLinear, can_pack
from klue_beam.transforms.models.nets.precision import apply_precision, choose_device, find_outliers
from klue_beam.transforms.models.nets.unpadded import UnpaddedEncoder
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.split.sentences import load_splitter, split_sentences
from klue_beam.transforms.tasks.dependency.head import DependencyHead

SENTENCES = 48


def make_linear(seed: int, bias: bool = True) -> nn.Linear:
    """A layer whose weights were stored as int8."""
    torch.manual_seed(seed)
    linear = nn.Linear(48, 32, bias=bias)
    with torch.no_grad():
        linear.weight.copy_(dequantize_rows(*quantize_rows(linear.weight)))
    return linear


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([(0,), (1,), (7,), (2, 5)]),
    st.sampled_from([None, 0, 20, 47]),
)
def test_an_int8_layer_is_near_the_layer_that_it_takes_the_place_of(
    seed: int, bias: bool, shape: tuple[int, ...], outlier: int | None
) -> None:
    """Each token's error is bounded by its own range, however far from zero, whatever the outlier and other tokens."""
    linear = make_linear(seed, bias)
    x = torch.randn(*shape, 48) * 10 ** torch.empty(*shape, 1).uniform_(-3, 3)
    x += x.abs().amax(-1, keepdim=True) * torch.randn(*shape, 1)
    others = [i for i in range(48) if i != outlier]
    reach = (x[..., others].amax(-1) - x[..., others].amin(-1)) / 2
    if outlier is not None:
        x[..., outlier] = 1000 * reach
    with torch.inference_mode():
        found = Int8Linear(linear, outlier)(x)
        error = (found - linear(x)).abs().amax(-1)
    # Half a step of an input, of 7 bits over twice its reach, for each weight, and what the sums round off.
    bound = (0.6 / 63 * reach + 1e-6 * x.abs().amax(-1)) * linear.weight.abs().sum(1).max() + 1e-5
    assert found.shape == (*shape, 32)
    assert bool((error <= bound).all())


def test_the_channels_with_outliers_are_found_layer_by_layer() -> None:
    torch.manual_seed(1)
    config = BertConfig(hidden_size=32, num_attention_heads=4, intermediate_size=64, num_hidden_layers=2, vocab_size=50)
    encoder = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        encoder.embeddings.LayerNorm.bias[7] = 20.0
        encoder.encoder.layer[0].output.LayerNorm.bias[30] = -20.0
    ids = torch.arange(1, 13)[None]
    plain = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    outliers = find_outliers(encoder, plain)
    first, second = (layer.attention.self for layer in encoder.encoder.layer)
    assert [outliers[layer] for layer in (first.query, first.key, first.value, second.query)] == [7, 7, 7, 30]
    assert len(outliers) == sum(isinstance(module, nn.Linear) for module in encoder.modules()) == 12
    with torch.inference_mode():
        expected = encoder(**plain).last_hidden_state
        errors = []
        for given in (None, plain):
            model = nn.ModuleDict({"encoder": copy.deepcopy(encoder)})
            found = apply_precision(model, "int8", ("encoder",), plain=given).encoder(**plain).last_hidden_state
            errors.append(float((found - expected).norm()))
    assert errors[1] < 0.8 * errors[0]


def test_tokens_of_zeros_stay_zeros() -> None:
    linear = make_linear(1)
    with torch.inference_mode():
        torch.testing.assert_close(Int8Linear(linear)(torch.zeros(2, 48)), linear.bias.expand(2, 32))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.booleans())
def test_a_token_in_int8_does_not_depend_on_those_beside_it(seed: int, n_tokens: int, one_sided: bool) -> None:
    """Not even where no value of them is negative, so that their range alone would be another."""
    layer, x = Int8Linear(make_linear(seed)), torch.randn(7, 48)
    if one_sided:
        x[:n_tokens] = x[:n_tokens].abs()
    with torch.inference_mode():
        torch.testing.assert_close(layer(x)[:n_tokens], layer(x[:n_tokens]), rtol=1e-6, atol=1e-6)


def test_int8_replaces_every_linear_layer_of_the_named_parts() -> None:
    part, other = nn.Sequential(make_linear(1), nn.ModuleList([make_linear(2)])), make_linear(3)
    model = apply_precision(nn.ModuleDict({"part": part, "other": other}), "int8", ("part",))
    kinds = [type(module) for module in model.part.modules()]
    assert kinds.count(Int8Linear) == 2
    assert nn.Linear not in kinds
    assert model.other is other


needs_packing = pytest.mark.skipif(not can_pack("fp32"), reason="this torch has no oneDNN layers")
needs_bf16 = pytest.mark.skipif(not can_pack("bf16"), reason="this processor has no arithmetic for bf16")


@needs_packing
@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(0,), (1,), (7,), (2, 5), (3, 0)]),
    st.sampled_from([1, 4]),
)
def test_a_packed_layer_is_the_layer_that_it_takes_the_place_of(
    seed: int, bias: bool, has_gelu: bool, shape: tuple[int, ...], row_step: int
) -> None:
    """Whatever the shape, and where the values do not lie side by side."""
    linear = make_linear(seed, bias)
    packed = PackedLinear(linear, torch.float32, "gelu" if has_gelu else "none", row_step=row_step)
    wide = torch.randn(*shape, 96)
    with torch.inference_mode():
        for x in (wide[..., :48], wide[..., ::2], wide[..., 48:].contiguous()):
            expected = linear(x)
            torch.testing.assert_close(packed(x), nn.functional.gelu(expected) if has_gelu else expected)


@needs_bf16
@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([(1,), (7,), (2, 5)]))
def test_a_layer_in_bf16_gives_fp32_and_is_near(seed: int, bias: bool, shape: tuple[int, ...]) -> None:
    linear = make_linear(seed, bias)
    x = torch.randn(*shape, 48)
    with torch.inference_mode():
        found, expected = PackedLinear(linear, torch.bfloat16)(x), linear(x)
    # Inputs, weights, bias and what comes out are each rounded to 8 bits.
    bound = 2**-8 * (x.abs() @ linear.weight.abs().T + 2 * expected.abs() + 1) + 1e-6
    assert found.dtype == torch.float32
    assert bool(((found - expected).abs() <= bound).all())


@needs_packing
def test_packing_takes_gelu_along() -> None:
    """Every linear layer of the named parts is packed, and BERT's activation is in its layer."""
    torch.manual_seed(1)
    config = BertConfig(hidden_size=32, num_attention_heads=4, intermediate_size=64, num_hidden_layers=2, vocab_size=50)
    encoder = BertModel(config, add_pooling_layer=False).eval()
    ids = torch.arange(1, 13)[None]
    with torch.inference_mode():
        expected = encoder(ids).last_hidden_state
        packed = apply_precision(nn.ModuleDict({"encoder": encoder}), "fp32", ("encoder",)).encoder
        torch.testing.assert_close(packed(ids).last_hidden_state, expected, atol=1e-5, rtol=1e-5)
    layers = [module for module in packed.modules() if isinstance(module, PackedLinear)]
    assert (len(layers), sum(layer.activation == "gelu" for layer in layers)) == (12, 2)
    assert not any(isinstance(module, nn.Linear) for module in packed.modules())


@needs_packing
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_packed_parser_scores_as_before(precision: str) -> None:
    """Its activation goes into its layers; in bf16 the scores are near those in fp32."""
    torch.manual_seed(1)
    head = DependencyHead(32, arc_size=16, label_size=8, n_labels=5).eval()
    hidden, first = torch.randn(2, 9, 32), torch.tensor([[1, 3, 5, 7], [1, 4, 0, 0]])
    call = (hidden, first, first + 1, torch.tensor([4, 2]))
    with torch.inference_mode():
        arcs, dependents, heads = head(*call)
        labels = head.score_labels(dependents, heads, torch.zeros(2, 4, dtype=torch.long))
        packed = apply_precision(nn.ModuleDict({"head": head}), precision, (), heads=("head",)).head
        found, dependents, heads = packed(*call)
        found_labels = packed.score_labels(dependents, heads, torch.zeros(2, 4, dtype=torch.long))
    room = 1e-5 if precision == "fp32" else 0.03
    torch.testing.assert_close(found.float(), arcs, atol=room, rtol=room)
    torch.testing.assert_close(found_labels.float(), labels, atol=room, rtol=room)
    if can_pack(precision):
        layers = [module for module in packed.modules() if isinstance(module, PackedLinear)]
        assert (len(layers), sum(layer.activation == "gelu" for layer in layers)) == (5, 1)


MANY_SHAPES = """
import psutil, sys, torch
from torch import nn
from klue_beam.transforms.base.memory import release_free_memory
from klue_beam.transforms.models.nets.precision import apply_precision
torch.set_num_threads(1)
part = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 128))
model = apply_precision(nn.ModuleDict({"part": part}), "fp32", ("part",))
def rss_bytes(rows):
    with torch.inference_mode():
        for n in rows:
            model.part(torch.zeros(n, 64))
    release_free_memory()
    return psutil.Process().memory_info().rss
first = rss_bytes(range(100, 200))
print(rss_bytes(range(200, 700)) - first)
"""


@needs_packing
def test_memory_does_not_grow_with_the_shapes_that_a_model_has_seen() -> None:
    """oneDNN's kernels for 1,000 shapes would take hundreds of megabytes."""
    # Without what this process has set for itself.
    inherited = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    call = [sys.executable, "-c", MANY_SHAPES]
    said = subprocess.run(call, capture_output=True, text=True, check=True, env=inherited)
    assert int(said.stdout) < 30e6


def read_sample(checkout: Path) -> pa.RecordBatch:
    """The first sentences of the bundled sample."""
    sample = [str(checkout / "examples" / "sample" / "sample.jsonl")]
    config = AnnotateConfig(read=ReadConfig(input_format=infer_format(sample)))
    (chunk,) = read_shard(make_plan(sample, config).shards[0], config.read)
    return split_sentences(chunk.rows, load_splitter("fast")).slice(0, SENTENCES)


@pytest.mark.parametrize("model", ["small", "tiny"])
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_lower_precision_gives_the_same_labels_in_any_batch(checkout: Path, model: str, precision: str) -> None:
    """All sentences at once, or each alone: where products in bf16 are the processor's own, to the last label."""
    config = ModelConfig(precision=precision, models=dict.fromkeys(TASKS, model))
    engines = load_engines(resolve_models(config))
    rows = read_sample(checkout)
    together, _ = annotate(rows, engines)
    alone = [annotate(rows.slice(i, 1), engines)[0] for i in range(rows.num_rows)]
    agreements = compare_labels(pa.concat_batches(alone), together)
    total = sum(agreements.values(), Agreement(0, 0, 0))
    assert total.expected > 10 * SENTENCES
    assert total.share == 1 if can_pack("bf16") else total.share > 0.99


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_bf16_without_packed_products_gives_nearly_all_labels(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """What a processor without them runs, and a GPU; here both on this processor."""
    rows = read_sample(checkout)
    expected, _ = annotate(rows, load_engines(resolve_models(ModelConfig(models=dict.fromkeys(TASKS, "tiny")))))
    monkeypatch.setattr("klue_beam.transforms.models.nets.precision.can_pack", lambda precision: False)
    model, tokenizer = load_model(EMBEDDED_DIR / "tiny")
    model = apply_precision(model, "bf16", ("encoder", "relation"), torch.device(device), ("dependency",))
    assert isinstance(model.encoder, UnpaddedEncoder) == (device == "cuda")
    assert sum(isinstance(module, RoundedLinear) for module in model.modules()) > 24
    found, rejects = annotate(rows, [MultiTaskEngine(model, tokenizer, tuple(TASKS), token_budget=4096)])
    agreements = compare_labels(found, expected)
    assert rejects.num_rows == 0
    assert agreements["heads"].expected > 9 * SENTENCES
    assert {kind: (one.different, one.expected) for kind, one in agreements.items() if one.share < 0.98} == {}


@pytest.mark.skipif(
    not (torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)),
    reason="there is no GPU, or none with bf16",
)
@pytest.mark.parametrize("model", ["small", "tiny"])
def test_a_gpu_gives_nearly_all_labels(checkout: Path, model: str) -> None:
    rows = read_sample(checkout)
    config = resolve_models(ModelConfig(models=dict.fromkeys(TASKS, model)))
    expected, _ = annotate(rows, load_engines(config))
    for precision, least in (("fp32", 0.999), ("bf16", 0.98)):
        engines = load_engines(dataclasses.replace(config, precision=precision), torch.device("cuda"))
        found, rejects = annotate(rows, engines)
        assert rejects.num_rows == 0
        assert min(one.share for one in compare_labels(found, expected).values()) > least


def test_int8_gives_most_labels_that_fp32_gives(checkout: Path) -> None:
    """The embedded model on the bundled sample, in the 7 bits of a processor without instructions for 8, too."""
    rows = read_sample(checkout)
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
