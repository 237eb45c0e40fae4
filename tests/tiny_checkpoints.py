"""Tiny random checkpoints of other people's kinds: four encoders, three tokenizers, KLUE-baseline's parser."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    ElectraConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from tests.tiny_models import SENTENCES, tiny_tokenizer

MARKERS = ("<subj>", "</subj>", "<obj>", "</obj>")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        extra_special_tokens=list(MARKERS),
    )


def wordpiece(vocab_size: int = 250) -> PreTrainedTokenizerFast:
    """The commonest parts of the words of SENTENCES; the library's own trainer gives other ones each time."""
    splitter = pre_tokenizers.BertPreTokenizer()
    words = [word for sentence in SENTENCES for word, _ in splitter.pre_tokenize_str(sentence)]
    counts = Counter(
        f"{'##' if begin else ''}{word[begin : begin + length]}"
        for word in words
        for length in (1, 2, 3)
        for begin in range(len(word) - length + 1)
    )
    singles = {f"{mark}{char}" for word in words for char in word for mark in ("", "##")}
    longer = sorted(counts.keys() - singles, key=lambda piece: (-counts[piece], piece))
    pieces = [*SPECIAL, *sorted(singles), *longer]
    vocabulary = {piece: number for number, piece in enumerate(pieces[: max(vocab_size, len(SPECIAL) + len(singles))])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = splitter
    return wrap(tokenizer)


def byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return wrap(tokenizer)


def unigram() -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 1_000_000
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)})
    return tokenizer


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
KINDS: dict[str, tuple[Callable[[], PreTrainedTokenizerFast], Callable[..., Any]]] = {
    "bert-wordpiece": (wordpiece, lambda **o: BertConfig(**SIZES, max_position_embeddings=256, **o)),
    "roberta-bytes": (byte_level, lambda **o: RobertaConfig(**SIZES, max_position_embeddings=256, **o)),
    "electra-wordpiece": (
        wordpiece,
        lambda **o: ElectraConfig(**SIZES, embedding_size=12, max_position_embeddings=256, **o),
    ),
    "deberta-unigram": (
        unigram,
        lambda **o: DebertaV2Config(
            **SIZES,
            max_position_embeddings=256,
            relative_attention=True,
            position_buckets=32,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            **o,
        ),
    ),
    "roberta-unigram": (unigram, lambda **o: RobertaConfig(**SIZES, max_position_embeddings=256, **o)),
}


def save_checkpoint(folder: Path, kind: str, labels: Sequence[str], auto: Any, **options: Any) -> Path:
    """Save a tiny random checkpoint whose weights are large enough that labels differ from text to text."""
    make_tokenizer, make_config = KINDS[kind]
    tokenizer = make_tokenizer()
    torch.manual_seed(5)
    config = make_config(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        initializer_range=0.5,
        **options,
    )
    auto.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class BaselineParser(nn.Module):
    """KLUE-baseline's parser written down plainly, one sentence at a time; its state dict is a `dp-model.bin`."""

    def __init__(
        self, model: Any, hidden: int = 12, arc: int = 10, label: int = 6, layers: int = 1, pos: int = 0
    ) -> None:
        super().__init__()
        width = 2 * model.config.hidden_size + pos
        self.pos_embedding = nn.Embedding(46, pos) if pos else None
        self.model = model
        self.encoder = nn.LSTM(width, hidden, layers, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.src_dense, self.hx_dense = nn.Linear(2 * hidden, hidden), nn.Linear(2 * hidden, hidden)
        self.arc_c, self.type_c = nn.Linear(2 * hidden, arc), nn.Linear(2 * hidden, label)
        self.arc_h, self.type_h = nn.Linear(hidden, arc), nn.Linear(hidden, label)
        self.attention, self.bilinear = nn.Module(), nn.Module()
        for name, shape in (("W_e", (1, arc)), ("W_d", (1, arc)), ("b", (1, 1, 1)), ("U", (1, arc, arc))):
            self.attention.register_parameter(name, nn.Parameter(torch.randn(shape)))
        shapes = {"U": (38, label, label), "W_l": (38, label), "W_r": (38, label), "bias": (38,)}
        for name, bilinear_shape in shapes.items():
            self.bilinear.register_parameter(name, nn.Parameter(torch.randn(bilinear_shape)))

    def forward(
        self, input_ids: Tensor, words: Sequence[tuple[int, int]], tags: Sequence[int] = ()
    ) -> tuple[Tensor, Callable[..., Tensor]]:
        """Score the heads of one sentence.

        Args:
          input_ids: Shape: (1, n_tokens).
          words: first and last token of each word.
          tags: of each word, where the parser reads them.

        Returns:
          Arc scores, 0 for the root (n_words, n_words + 1); and what gives the logits of the labels (n_words, 38) of
          a list of heads.
        """
        states = self.model(input_ids=input_ids)[0][0]
        read = torch.stack([torch.cat((states[first], states[last])) for first, last in [(0, 0), *words]])
        if self.pos_embedding is not None:
            read = torch.cat((read, self.pos_embedding(torch.tensor([45, *tags]))), 1)
        heads, (_, cells) = self.encoder(read.unsqueeze(0))
        start = self.hx_dense(torch.cat((cells[-2], cells[-1]), 1)).unsqueeze(0)
        start = torch.cat((start, torch.zeros(self.decoder.num_layers - 1, 1, start.shape[2])))
        sources = functional.elu(self.src_dense(heads[:, 1:]))
        words_read, _ = self.decoder(sources, (torch.tanh(start), start))
        d, h = functional.elu(self.arc_h(words_read))[0], functional.elu(self.arc_c(heads))[0]
        a, b = self.attention, self.bilinear
        arcs = d @ a.U[0] @ h.T + (a.W_d @ d.T).T + a.W_e @ h.T + a.b[0]
        left, right = functional.elu(self.type_h(words_read))[0], functional.elu(self.type_c(heads))[0]

        def label(chosen: Sequence[int]) -> Tensor:
            r = right[list(chosen)]
            return functional.bilinear(left, r, b.U, b.bias) + left @ b.W_l.T + r @ b.W_r.T

        return arcs, label


def save_parser(folder: Path, kind: str, **sizes: int) -> BaselineParser:
    """Save what KLUE-baseline leaves: the encoder's config.json, the tokenizer, the state dict."""
    make_tokenizer, make_config = KINDS[kind]
    tokenizer = make_tokenizer()
    torch.manual_seed(7)
    config = make_config(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, initializer_range=0.5)
    parser = BaselineParser(AutoModel.from_config(config), **sizes).eval()
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    torch.save(parser.state_dict(), folder / "dp-model.bin")
    return parser
