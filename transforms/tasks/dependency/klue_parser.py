"""Dependency parsers that KLUE-baseline trained: an encoder's folder with their state dict, `dp-model.bin`.

References: Park et al., 2021, https://arxiv.org/abs/2105.09680, whose code, https://github.com/KLUE-benchmark/KLUE-baseline,
names the weights; Ma et al., 2018, https://arxiv.org/abs/1805.01087 (a decoder that points at an encoder's states);
Dozat and Manning, 2017, https://arxiv.org/abs/1611.01734 (biaffine scores).
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from klue_beam.schemas.labels import DEPRELS
from klue_beam.transforms.models.nets.encoders import build_encoder, load_config, load_tokenizer
from klue_beam.transforms.models.text.parts_of_speech import POS_TAGS
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.dependency.head import bar_absent_heads

PARSER_FILE: Final = "dp-model.bin"
"""The state dict of a dependency parser that KLUE-baseline trained."""

_ENCODER_PREFIX: Final = "model."
_POS_WEIGHT: Final = "pos_embedding.weight"
_NOT_READ: Final = re.compile(r"metrics\.|model\.pooler\.|.*\b(position_ids|token_type_ids)$")
"""What such a file may hold beside weights that parsing reads: the states of metrics, the encoder's pooler, buffers."""

_NAMES_SHOWN: Final = 3

_HIDDEN, _ARC, _LABEL = "src_dense.weight", "arc_c.weight", "type_c.weight"
"""Weights whose rows tell the sizes of the head."""


class KlueParserHead(nn.Module):
    """A pointer over the words of a sentence, with DependencyHead's interface and the weights' names of KLUE-baseline.

    A BiLSTM reads the words, the encoder's first token before them as the root; an LSTM that starts from its last
    memory reads them again, left to right; its states point at the BiLSTM's by a biaffine score.

    Args:
      word_size: width of a word, twice the encoder's.
      hidden_size: of both LSTMs.
      arc_size, label_size: widths of the biaffine and the bilinear layer.
      encoder_layers, decoder_layers: of the two LSTMs.
      n_labels: how many dependency labels there are.
      pos_size: width of the embedding of a word's last part of speech; 0 for a parser that does not read it.
    """

    def __init__(
        self,
        word_size: int,
        hidden_size: int,
        arc_size: int,
        label_size: int,
        encoder_layers: int,
        decoder_layers: int,
        n_labels: int,
        pos_size: int,
    ) -> None:
        super().__init__()
        if pos_size:
            self.pos_embedding = nn.Embedding(len(POS_TAGS) + 1, pos_size)
        self.reads_tags = pos_size > 0
        self.encoder = nn.LSTM(word_size + pos_size, hidden_size, encoder_layers, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(hidden_size, hidden_size, decoder_layers, batch_first=True)
        self.src_dense = nn.Linear(2 * hidden_size, hidden_size)
        self.hx_dense = nn.Linear(2 * hidden_size, hidden_size)
        self.arc_c = nn.Linear(2 * hidden_size, arc_size)
        self.type_c = nn.Linear(2 * hidden_size, label_size)
        self.arc_h = nn.Linear(hidden_size, arc_size)
        self.type_h = nn.Linear(hidden_size, label_size)
        self.attention = _parameters(W_e=(1, arc_size), W_d=(1, arc_size), b=(1, 1, 1), U=(1, arc_size, arc_size))
        self.bilinear = _parameters(
            U=(n_labels, label_size, label_size),
            W_l=(n_labels, label_size),
            W_r=(n_labels, label_size),
            bias=(n_labels,),
        )

    def forward(
        self, hidden: Tensor, first: Tensor, last: Tensor, n_eojeols: Tensor, tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Score the heads; arguments and results as in DependencyHead, and `tags` as PosTagger gives them."""
        row = torch.arange(len(first), device=hidden.device).unsqueeze(-1)
        # KLUE-baseline counts the pieces of each eojeol, so that also a piece with no character of its own (a word's
        # mark) can be its first.
        before = functional.pad(last[:, :-1], (1, 0))
        first = torch.minimum(first, before + 1)
        words = torch.cat((hidden[row, first], hidden[row, last]), -1)
        root = hidden[:, :1].repeat(1, 1, 2)
        read = torch.cat((root, words), 1)
        if tags is not None:
            read = torch.cat((read, self.pos_embedding(functional.pad(tags, (1, 0), value=len(POS_TAGS)))), -1)
        lengths = n_eojeols.clamp(min=1).cpu()
        heads, memory = _read(self.encoder, read, lengths + 1, None)
        sources = functional.elu(self.src_dense(heads[:, 1:]))
        dependents, _ = _read(self.decoder, sources, lengths, self._start(memory))
        arc_dep, arc_head = functional.elu(self.arc_h(dependents)), functional.elu(self.arc_c(heads))
        weights = self.attention
        scores = arc_dep @ weights["U"][0] @ arc_head.transpose(1, 2) + weights["b"]
        scores = scores + arc_dep @ weights["W_d"].T + (arc_head @ weights["W_e"].T).transpose(1, 2)
        barred = bar_absent_heads(scores, n_eojeols)
        return barred, functional.elu(self.type_h(dependents)), functional.elu(self.type_c(heads))

    def _start(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Give the decoder's first states from the encoder's memory, the last layer's. Shape: (2 * layers, B, H)."""
        cell = self.hx_dense(torch.cat((memory[-2], memory[-1]), -1)).unsqueeze(0)
        cell = functional.pad(cell, (0, 0, 0, 0, 0, self.decoder.num_layers - 1))
        return torch.tanh(cell), cell

    def score_labels(self, dependents: Tensor, heads: Tensor, head: Tensor) -> Tensor:
        """Score the labels of chosen arcs; arguments and result as in DependencyHead."""
        row = torch.arange(len(head), device=head.device).unsqueeze(-1)
        chosen, weights = heads[row, head], self.bilinear
        # As one matrix product; nn.functional.bilinear is many times slower on a CPU.
        products = functional.linear(chosen, weights["U"].flatten(0, 1))
        products = products.view(*chosen.shape[:2], *weights["U"].shape[:2])
        bilinear = (products @ dependents.unsqueeze(-1)).squeeze(-1)
        logits: Tensor = bilinear + dependents @ weights["W_l"].T + chosen @ weights["W_r"].T + weights["bias"]
        return logits


def _parameters(**shapes: tuple[int, ...]) -> nn.ParameterDict:
    return nn.ParameterDict({name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()})


def _read(lstm: nn.LSTM, words: Tensor, lengths: Tensor, start: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """Run an LSTM over padded sequences; gives its states (B, E, …) and its last memory (layers, B, H)."""
    packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
    states, (_, memory) = lstm(packed, start)
    return pad_packed_sequence(states, batch_first=True, total_length=words.shape[1])[0], memory


def load_parser(folder: Path) -> tuple[nn.Module, KlueParserHead, TextTokenizer]:
    """Read the folder of a parser that KLUE-baseline trained, with parts of speech or without.

    Args:
      folder: config.json of the encoder, tokenizer, and the state dict.

    Returns:
      The encoder, the head, both in fp32, and the tokenizer.

    Raises:
      ValueError: if a file is missing, or the weights are not those of such a parser; the message names the remedy.
    """
    if not (folder / PARSER_FILE).is_file():
        raise ValueError(
            f"`dp_model` must be a folder written by `klue-beam train`, or one with KLUE-baseline's {PARSER_FILE}, "
            f"got {folder}. Train one with `klue-beam train --task dp`."
        )
    config = load_config("dp", folder)
    tokenizer = load_tokenizer("dp", folder)
    weights = _read_weights(folder / PARSER_FILE)
    head = _build_head(2 * config.hidden_size, weights, folder)
    encoder: nn.Module = build_encoder(config)
    parser = nn.ModuleDict({"encoder": encoder, "dependency": head})
    named = {
        f"encoder.{name.removeprefix(_ENCODER_PREFIX)}" if name.startswith(_ENCODER_PREFIX) else f"dependency.{name}": w
        for name, w in weights.items()
    }
    _compare(parser.state_dict(), named, folder)
    parser.load_state_dict(named)
    return encoder, head, tokenizer


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"`dp_model` must hold a state dict that is nothing but weights, got {type(error).__name__} for {path}. "
            "Save it again with torch.save(model.state_dict(), …)."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(w, Tensor) for w in state.values()):
        raise ValueError(
            f"`dp_model` must hold a state dict, names with their weights, got a {type(state).__name__} with other "
            f"things in {path}. Save it again with torch.save(model.state_dict(), …)."
        )
    return {name: weight.float() for name, weight in state.items() if not _NOT_READ.match(name)}


def _build_head(word_size: int, weights: Mapping[str, Tensor], folder: Path) -> KlueParserHead:
    """Build the head in the sizes that the weights have."""
    n_encoder, n_decoder = (
        sum(f"{lstm}.weight_ih_l{n}" in weights for n in range(len(weights))) for lstm in ("encoder", "decoder")
    )
    sizing = (_HIDDEN, _ARC, _LABEL, "encoder.weight_ih_l0", "decoder.weight_ih_l0")
    absent = [name for name in sizing if name not in weights or weights[name].dim() != 2]
    if absent:
        raise ValueError(_misfit(f"no matrix {', '.join(absent[:_NAMES_SHOWN])}", folder))
    hidden, arc, label = (len(weights[name]) for name in (_HIDDEN, _ARC, _LABEL))
    pos_size = weights[_POS_WEIGHT].shape[-1] if _POS_WEIGHT in weights else 0
    return KlueParserHead(word_size, hidden, arc, label, n_encoder, n_decoder, len(DEPRELS), pos_size)


def _compare(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse weights that are not exactly the model's.

    Raises:
      ValueError: if one is missing, unknown, or of another shape.
    """
    differences = {
        "missing": [name for name in expected if name not in given],
        "unknown": [name for name in given if name not in expected],
        "of another shape": [
            f"{name} {tuple(given[name].shape)} instead of {tuple(weight.shape)}"
            for name, weight in expected.items()
            if name in given and given[name].shape != weight.shape
        ],
    }
    found = [f"weights {kind}: {', '.join(names[:_NAMES_SHOWN])}" for kind, names in differences.items() if names]
    if found:
        raise ValueError(_misfit("; ".join(found), folder))


def _misfit(found: str, folder: Path) -> str:
    return (
        f"`dp_model` must hold the weights of KLUE-baseline's parser over the encoder of its config.json, with KLUE's "
        f"{len(DEPRELS)} labels, got {found} in {folder}. Save model.state_dict() as {PARSER_FILE} beside the "
        "encoder's own config.json."
    )
