"""Encoders without padding: what the same encoder gives with it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraForTokenClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from klue_beam.transforms.models.nets.precision import apply_precision
from klue_beam.transforms.models.nets.unpadded import UnpaddedEncoder, can_run_unpadded

GPU = torch.device("cuda")
LENGTHS = (9, 4, 1, 12)
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "vocab_size": 50,
    "max_position_embeddings": 20,
}


def make_classifier(kind: str) -> Any:
    torch.manual_seed(1)
    if kind == "bert":
        return BertForSequenceClassification(BertConfig(**SIZES)).eval()
    if kind == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(**SIZES, type_vocab_size=1, pad_token_id=1)).eval()
    return ElectraForTokenClassification(ElectraConfig(**SIZES, embedding_size=24)).eval()


def make_batch(pad: int) -> dict[str, Tensor]:
    torch.manual_seed(2)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return {"input_ids": torch.where(mask > 0, torch.randint(5, 50, mask.shape), pad), "attention_mask": mask}


KINDS = pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])


@KINDS
def test_an_encoder_without_padding_gives_what_the_encoder_gives(kind: str) -> None:
    """In fp32, every state of every layer, wherever a sequence stands in the batch."""
    model = make_classifier(kind)
    batch = make_batch(model.config.pad_token_id)
    there = batch["attention_mask"].bool()
    with torch.inference_mode():
        expected = model.base_model(**batch, output_hidden_states=True)
        found = UnpaddedEncoder(model.base_model)(**batch, output_hidden_states=True)
    assert len(found.hidden_states) == len(expected.hidden_states) == 3
    for ours, theirs in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(ours[there], theirs[there], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.last_hidden_state, found.hidden_states[-1])
    assert not found.last_hidden_state[~there].any()


@KINDS
def test_a_classifier_in_the_form_of_a_gpu_is_near(kind: str) -> None:
    """Its head included: it reads the first token, through a pooler or not, or each token."""
    model = make_classifier(kind)
    batch = make_batch(model.config.pad_token_id)
    with torch.inference_mode():
        expected = model(**batch).logits
        found = apply_precision(model, "bf16", (model.base_model_prefix,), GPU)(**batch).logits
    assert isinstance(model.base_model, UnpaddedEncoder)
    assert not any(isinstance(module, nn.Linear) for module in model.base_model.modules())
    there = batch["attention_mask"].bool() if expected.dim() > 2 else slice(None)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[there], expected[there], atol=0.01, rtol=0.01)


def test_encoders_of_other_kinds_keep_their_padding() -> None:
    config = DistilBertConfig(dim=32, n_heads=4, hidden_dim=64, n_layers=1, vocab_size=50)
    encoder = DistilBertModel(config)
    assert not can_run_unpadded(encoder)
    model = apply_precision(nn.ModuleDict({"encoder": encoder}), "bf16", ("encoder",), GPU)
    assert model["encoder"] is encoder
    assert not can_run_unpadded(BertModel(BertConfig(**SIZES | {"hidden_size": 16})))
