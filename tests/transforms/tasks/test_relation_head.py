"""The relation head skips only work whose result nobody reads."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, BertConfig, BertModel

from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.nets.linear import Int8Linear
from klue_beam.transforms.models.nets.precision import apply_precision
from klue_beam.transforms.tasks.relation.head import RelationHead
from tests.tiny_checkpoints import KINDS

HIDDEN, LENGTHS = 32, (9, 17, 5)


def make_head(n_layers: int, context: int) -> RelationHead:
    torch.manual_seed(3)
    config = BertConfig(hidden_size=HIDDEN, num_attention_heads=4, intermediate_size=64, num_hidden_layers=3)
    head = RelationHead(config, n_layers, 7, context).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def make_pairs() -> list[tuple[int, int, int, int, int, int, int]]:
    """Sequence, subject's and object's first and last token, their types."""
    return [
        (1, 1, 1, 15, 15, 0, 3),
        (1, 9, 11, 4, 5, 2, 1),
        (0, 2, 2, 7, 7, 1, 0),
        (2, 3, 3, 1, 2, 0, 0),
        (1, 6, 6, 6, 7, 2, 4),
    ]


def run_layers(head: RelationHead, x: Tensor) -> Tensor:
    """Run every layer over every token, as BERT does. Shape: (L, H)."""
    for layer in head.layers:
        qkv = torch.cat((layer.query(x), layer.key_value(x)), -1).view(len(x), 3, layer.n_heads, -1)
        query, key, value = qkv.permute(1, 2, 0, 3)
        weights = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, -1)
        x = layer.attended_norm(x + layer.attended((weights @ value).transpose(0, 1).flatten(1)))
        x = layer.down_norm(x + layer.down(functional.gelu(layer.up(x))))
    return x


def score_plainly(head: RelationHead, sequence: Tensor, pair: tuple[int, ...]) -> Tensor:
    """One pair, its whole window, nothing shared. Shape: (n_relations,)."""
    s_first, s_last, o_first, o_last, s_type, o_type = pair
    x = sequence.clone()
    x[s_first : s_last + 1] += head.markers.weight[s_type]
    x[o_first : o_last + 1] += head.markers.weight[head.n_types + o_type]
    low = max(1, min(s_first, o_first) - head.context) if head.context else 1
    high = min(len(x) - 1, max(s_last, o_last) + head.context) if head.context else len(x) - 1
    x = run_layers(head, torch.cat((x[:1], x[low : high + 1])))
    mentions = [x[first - low + 1 : last - low + 2].mean(0) for first, last in ((s_first, s_last), (o_first, o_last))]
    return head.output(functional.gelu(head.dense(torch.cat((x[0], *mentions)))))


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("context", [0, 2, 16])
def test_shared_and_skipped_work_changes_no_score(n_layers: int, context: int) -> None:
    """Pairs scored together over shared states give what each alone gives when every token passes every layer."""
    head = make_head(n_layers, context)
    states = torch.randn(sum(LENGTHS), HIDDEN)
    begins = np.cumsum(LENGTHS) - LENGTHS
    pairs = make_pairs()
    rows = [(int(begins[unit]), LENGTHS[unit], *rest) for unit, *rest in pairs]
    with torch.inference_mode():
        together = head(states, torch.tensor(rows))
        for logits, (begin, length, *rest) in zip(together, rows, strict=True):
            alone = score_plainly(head, states[begin : begin + length], tuple(rest))
            torch.testing.assert_close(logits, alone, atol=1e-4, rtol=1e-4)


def test_an_int8_head_scores_nearly_as_in_fp32() -> None:
    """Every linear layer of the head is replaced, those too that the marker table passes, and scores stay near."""
    head = make_head(2, 2)
    begins = np.cumsum(LENGTHS) - LENGTHS
    pairs = torch.tensor([(int(begins[unit]), LENGTHS[unit], *rest) for unit, *rest in make_pairs()])
    with torch.inference_mode():
        states = torch.randn(sum(LENGTHS), HIDDEN)
        expected = head(states, pairs)
        int8 = apply_precision(torch.nn.ModuleDict({"relation": head}), "int8", ("relation",)).relation
        found = int8(states, pairs)
    assert not any(isinstance(module, torch.nn.Linear) for module in int8.modules())
    assert sum(isinstance(module, Int8Linear) for module in int8.modules()) == 2 * 5 + 2
    assert not torch.equal(found, expected)
    assert float((found - expected).norm() / expected.norm()) < 0.1


def test_a_new_head_starts_from_the_encoder_layers_it_repeats() -> None:
    """Without markers the pair layers are the encoder's own top layers."""
    torch.manual_seed(4)
    config = BertConfig(
        hidden_size=HIDDEN, num_attention_heads=4, intermediate_size=64, num_hidden_layers=3, vocab_size=50
    )
    encoder = BertModel(config, add_pooling_layer=False).eval()
    head = make_head(2, 0)
    for layer, theirs in zip(head.layers, encoder.encoder.layer[-2:], strict=True):
        layer.copy_bert(theirs)
    with torch.inference_mode():
        states = encoder(torch.arange(12)[None], output_hidden_states=True).hidden_states
        torch.testing.assert_close(run_layers(head, states[1][0]), states[3][0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["bert-wordpiece", "roberta-bytes", "electra-wordpiece"])
def test_encoders_laid_out_like_bert_lend_their_layers(kind: str) -> None:
    """The pair layers of a new model over RoBERTa and ELECTRA start from its top layers, too."""
    tokenizer, make_config = KINDS[kind]
    encoder = AutoModel.from_config(make_config(vocab_size=len(tokenizer())))
    model = MultiTaskModel(ModelSpec(name="new", tasks=("re",)).change("re", pair_layers=1), encoder)
    model.start_heads()
    theirs = encoder.encoder.layer[-1]
    assert torch.equal(model.relation.layers[0].query.weight, theirs.attention.self.query.weight)
    assert torch.equal(model.relation.layers[0].down.weight, theirs.output.dense.weight)
