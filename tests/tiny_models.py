"""Tiny random models with real tokenizers, made on the spot: everything but trained weights is as in a real one."""

import math
from collections import Counter
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.checkpoint import save_model
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.nets.encoders import build_encoder
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.dependency import DependencySpec
from klue_beam.transforms.tasks.relation import RelationSpec

SENTENCES = (
    "서울시는 3월 5일 한강 공원에서 열린 행사에 시민 2만 명이 모였다고 밝혔다.",
    "김하늘 대표는 부산에 있는 새별전자에서 10년 동안 일했다.",
    "이 영화는 정말 재미있었지만 결말이 조금 아쉬웠어요ㅋㅋ",
    "청원인은 어린이 보호 구역의 속도 제한을 지켜 달라고 요청했습니다.",
    "박 교수는 2019년에 한빛대학교로 옮겨 물리학을 가르치고 있다.",
    "내일 오후 세 시에 만나자고 그가 말했다.",
)


def tiny_tokenizer(vocab_size: int = 300) -> PreTrainedTokenizerFast:
    """Make a small Unigram tokenizer with the special tokens and offsets of a real one.

    Its pieces are the commonest parts of the words of SENTENCES; the library's own trainer gives other ones each time.
    """
    words = [f"\u2581{word}" for sentence in SENTENCES for word in sentence.split()]
    counts = Counter(word[i : i + n] for word in words for n in (1, 2, 3) for i in range(len(word) - n + 1))
    singles = {piece for piece in counts if len(piece) == 1}
    longer = sorted(counts.keys() - singles, key=lambda piece: (-counts[piece] * len(piece), piece))
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    # Longest last: then the highest id of each of SENTENCES is past those of another plain sentence.
    pieces = sorted(singles) + sorted(longer[: vocab_size - len(special) - len(singles)], key=len)
    scores = [(piece, math.log(counts[piece] / len(words))) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram([(name, 0.0) for name in special] + scores, unk_id=special.index("<unk>")))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=64,
    )


def tiny_checkpoint(folder: Path, tasks: tuple[str, ...] = tuple(TASKS), seed: int = 18, positions: int = 64) -> Path:
    """Write a tiny random multi-task model folder, for `--model FOLDER`.

    Its weights are large enough that results differ from sentence to sentence; and with this seed every task finds
    something, relations and several labels among it.
    """
    torch.manual_seed(seed)
    tokenizer = TextTokenizer(tiny_tokenizer())
    config = BertConfig(
        vocab_size=len(tokenizer.tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_id,
        initializer_range=0.3,
    )
    spec = ModelSpec(
        name="tiny-random",
        tasks=tasks,
        of={"re": RelationSpec(pair_layers=1), "dp": DependencySpec(arc_size=16, label_size=8)},
    )
    model = MultiTaskModel(spec, build_encoder(config))
    save_model(model, tokenizer, folder)
    return folder
