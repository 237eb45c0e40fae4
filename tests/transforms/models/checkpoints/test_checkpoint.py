"""Saving and loading multi-task models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from klue_beam.transforms.models.checkpoints.checkpoint import (
    SCALE_SUFFIX,
    WEIGHTS_FILE,
    dequantize_rows,
    load_encoder,
    load_model,
    quantize_rows,
    save_model,
)
from klue_beam.transforms.models.checkpoints.folders import hash_folder, resolve_folder
from klue_beam.transforms.models.checkpoints.spec import SPEC_FILE
from tests.tiny_models import SENTENCES, tiny_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model")


def test_a_loaded_model_saves_as_the_same_files(folder: Path, tmp_path: Path) -> None:
    """What was restored from int8 is stored again as the very same weights, spec and tokenizer."""
    model, tokenizer = load_model(folder)
    save_model(model, tokenizer, tmp_path / "again")
    again, tokenizer_again = load_model(tmp_path / "again")
    for (name, ours), (_, theirs) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=1e-6, msg=name)
    assert again.spec == model.spec
    for ours, theirs in zip(
        tokenizer.encode(SENTENCES).pieces.ids, tokenizer_again.encode(SENTENCES).pieces.ids, strict=True
    ):
        assert ours == theirs


def test_weights_are_stored_as_int8_with_fp16_scales(folder: Path) -> None:
    """Every matrix is int8 by row, every vector fp16: a byte a parameter."""
    stored = load_file(folder / WEIGHTS_FILE)
    for name, tensor in stored.items():
        if name.endswith(SCALE_SUFFIX):
            assert tensor.dtype == torch.float16
            assert stored[name.removesuffix(SCALE_SUFFIX)].dtype == torch.int8
        else:
            assert tensor.dtype == (torch.int8 if name + SCALE_SUFFIX in stored else torch.float16)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_the_error_of_int8_is_half_a_step(seed: int, size: float) -> None:
    """A restored weight is off by half a step of its row's scale at most, and what fp16 rounds off the scale."""
    weight = torch.from_numpy(np.random.default_rng(seed).normal(0, size, (5, 7)).astype(np.float32))
    quantized, scale = quantize_rows(weight)
    bound = scale.float()[:, None] * 0.5 + weight.abs().amax(1, keepdim=True) * 2**-10
    assert ((dequantize_rows(quantized, scale) - weight).abs() <= bound).all()
    assert quantized.dtype == torch.int8


def test_the_hash_is_of_the_model_alone(folder: Path) -> None:
    """A card or a training checkpoint beside the model changes nothing; a byte of any of its files does."""
    before = hash_folder(folder)
    (folder / "README.md").write_text("card")
    (folder / "training_state.pt").write_bytes(b"x")
    assert hash_folder(folder) == before
    with (folder / "config.json").open("a") as file:
        file.write(" ")
    assert hash_folder(folder) != before


@pytest.mark.parametrize("name", [WEIGHTS_FILE, "config.json", "tokenizer.json", SPEC_FILE])
@pytest.mark.parametrize("tamper", ["missing", "cut", "garbage"])
def test_a_tampered_folder_is_refused(folder: Path, name: str, tamper: str) -> None:
    """A model with a file missing, cut short or overwritten is refused, naming the folder and the remedy."""
    path = folder / name
    if tamper == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if tamper == "cut" else b"garbage")
    with pytest.raises(
        ValueError, match=r"(?s)model must hold a whole multi-task model, got .* Copy or train it again\."
    ):
        load_model(folder)


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    """Weights that lack a head of the spec, or have one too many, are named."""
    other = tiny_checkpoint(tmp_path / "other", tasks=("tc",))
    (folder / WEIGHTS_FILE).write_bytes((other / WEIGHTS_FILE).read_bytes())
    with pytest.raises(ValueError, match=r"weights missing: .*entity"):
        load_model(folder)


def test_a_folder_is_found_by_path_and_other_names_are_not(folder: Path, tmp_path: Path) -> None:
    """A path to a multi-task model is one; a folder without a spec and a free name are none."""
    assert resolve_folder(str(folder)) == folder
    assert resolve_folder(str(tmp_path)) is None
    assert resolve_folder("no-such-model") is None


def test_an_encoder_to_train_from_is_a_models_own(folder: Path) -> None:
    """A model folder gives its encoder and tokenizer to train from; a name that is nothing is refused."""
    encoder, tokenizer = load_encoder(str(folder))
    assert encoder.config.hidden_size == 32
    assert tokenizer.n_special == 2
    with pytest.raises(ValueError, match=r"`base` must be a model folder, or a hub name .*, got '/no/such': .* Check"):
        load_encoder("/no/such")
