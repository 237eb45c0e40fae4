"""Parsers of KLUE-baseline: equal to the plain forward one sentence at a time, and refused where they do not fit."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from mecab import MeCab
from torch import Tensor
from transformers import AutoTokenizer

from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.labels import DEPRELS
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.models.checkpoints.folders import hash_folder
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.models.text.parts_of_speech import POS_TAGS, PosTagger
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.columns import Probabilities
from klue_beam.transforms.tasks.dependency.trees import are_trees
from tests.tiny_checkpoints import BaselineParser, save_parser
from tests.tiny_models import SENTENCES, tiny_tokenizer

SHORT = ("네", "그가 왔다.", "서울에 눈이 온다.", "집에 온 순이는 잤다.", "그 집에 온 순이는 잤다.")
TEXTS = (*SENTENCES, *SHORT, SENTENCES[0])


def parse(folder: Path, texts: tuple[str, ...] = TEXTS, **options: Any) -> list[dict[str, Any]]:
    """Through the public path: resolve, load, annotate; the sentences in batches."""
    config = resolve_models(ModelConfig(tasks=("dp",), models={"dp": str(folder)}, token_budget=512, **options))
    n = len(texts)
    columns: dict[str, Any] = {name: [""] * n for name in ("doc_id", "source")} | {"text": texts, "flags": [[]] * n}
    columns |= {"record_index": range(n), "sentence_index": [0] * n, "begin": [0] * n, "metadata": [None] * n}
    columns |= {"end": [len(text) for text in texts]}
    rows = pa.RecordBatch.from_pydict(columns, schema=SENTENCE)
    found: list[dict[str, Any]] = annotate(rows, load_engines(config))[0].to_pylist()
    return found


def read_plainly(folder: Path, parser: BaselineParser, text: str) -> tuple[Tensor, Callable[..., Tensor]]:
    """The plain forward over one sentence, the pieces of each eojeol counted as KLUE-baseline counts them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words, token = [], 1
    for eojeol in text.split():
        n_pieces = len(tokenizer.tokenize(eojeol))
        words.append((token, token + n_pieces - 1))
        token += n_pieces
    input_ids = tokenizer(text, return_tensors="pt")["input_ids"]
    tags = tag_plainly(text) if parser.pos_embedding is not None else ()
    assert token + 1 == input_ids.shape[1], "the pieces of the eojeols are those of the sentence"
    with torch.inference_mode():
        return parser(input_ids, words, tags)


TAG_NAMES = (
    "NNG NNP NNB NP NR VV VA VX VCP VCN MMA MMD MMN MAG MAJ JC IC JKS JKC JKG JKO JKB JKV JKQ JX EP EF EC ETN ETM "
)
TAG_NAMES += "XPN XSN XSV XSA XR SF SP SS SE SO SL SH SW SN NA"


def tag_plainly(text: str) -> list[int]:
    """The last part of speech of each word, in KLUE's names, numbered as KLUE-baseline does."""
    tags, begin = [], 0
    for word in text.split():
        begin = text.index(word, begin)
        inside = [m.feature.pos for m in MeCab().parse(text) if begin <= m.span.start < begin + len(word)]
        name = inside[-1].split("+")[-1]
        name = {"NNBC": "NNB", "MM": "MMD", "SSO": "SS", "SSC": "SS", "SC": "SP", "SY": "SW"}.get(name, name)
        tags.append(TAG_NAMES.split().index(name))
        begin += len(word)
    return tags


def test_the_last_morpheme_names_an_eojeol() -> None:
    """Padded with what stands for none; also of a text without eojeols, and of one that MeCab does not know."""
    encoded = TextTokenizer(tiny_tokenizer()).encode(("서울에 눈이 온다.", "", "그 책은 3권이다!", "ㅤ \u200b"))
    tags = PosTagger().tag(encoded, np.array([2, 0, 1, 3]))
    names = [[POS_TAGS[tag] if tag < len(POS_TAGS) else "" for tag in row] for row in tags.tolist()]
    assert names[0] == ["MMD", "JX", "SF"]
    assert names[1] == ["JKB", "JKS", "SF"]
    assert names[2] == ["", "", ""]
    assert all(name for name in names[3][: encoded.eojeols.offsets[4] - encoded.eojeols.offsets[3]])


def test_tags_are_nearly_those_that_people_gave(shared_data: Path) -> None:
    """On KLUE-DP's development file 94 % of the eojeols have the gold tag of their last morpheme."""
    lines = (shared_data / "klue/dev/klue-dp.tsv").read_text(encoding="utf-8").split("\n\n")
    rows = [[line.split("\t") for line in block.splitlines() if line[:1].isdigit()] for block in lines]
    texts = [" ".join(fields[1] for fields in row) for row in rows]
    encoded = TextTokenizer(tiny_tokenizer()).encode(texts)
    tags = PosTagger().tag(encoded, np.arange(len(texts)))
    gold = [(n, i, fields[3].split("+")[-1]) for n, row in enumerate(rows) for i, fields in enumerate(row)]
    assert len(gold) > 17_000
    assert np.mean([POS_TAGS[tags[n, i]] == tag for n, i, tag in gold]) > 0.93


def find_best_tree(log_probabilities: Probabilities) -> list[int]:
    """Try every choice of heads. Shape: (n, n + 1)."""
    n = len(log_probabilities)
    choices = np.array(list(itertools.product(range(n + 1), repeat=n)))
    trees = choices[are_trees(choices, np.ones(choices.shape, dtype=bool))]
    best: list[int] = trees[log_probabilities[np.arange(n), trees].sum(1).argmax()].tolist()
    return best


@pytest.mark.parametrize(
    ("kind", "layers", "pos"),
    [
        ("bert-wordpiece", 1, 0),
        ("bert-wordpiece", 1, 8),
        ("electra-wordpiece", 2, 0),
        ("roberta-bytes", 1, 0),
        ("deberta-unigram", 1, 0),
    ],
)
def test_trees_are_those_of_the_plain_forward(tmp_path: Path, kind: str, layers: int, pos: int) -> None:
    """In batches of several lengths, heads are the plain forward's best tree; labels and scores are its own."""
    parser = save_parser(tmp_path, kind, layers=layers, pos=pos)
    for row in parse(tmp_path):
        arcs, label = read_plainly(tmp_path, parser, row["text"])
        n = len(arcs)
        own = torch.cat((torch.zeros(n, 1), torch.eye(n)), 1).bool()  # no word is its own head
        log_probabilities = torch.log_softmax(arcs.masked_fill(own, -torch.inf), 1)
        heads = [arc["head"] for arc in row["dependencies"]]
        assert are_trees(np.array([heads]), np.ones((1, n), dtype=bool))[0]
        if row["text"] in SHORT:
            assert heads == find_best_tree(log_probabilities.numpy())
        with torch.inference_mode():
            deprels = torch.softmax(label(heads), 1)
        assert [arc["deprel"] for arc in row["dependencies"]] == [DEPRELS[i] for i in deprels.argmax(1).tolist()]
        expected = log_probabilities[torch.arange(n), heads].exp() * deprels.max(1).values
        np.testing.assert_allclose([arc["score"] for arc in row["dependencies"]], expected.numpy(), atol=1e-4)
        assert [row["text"][arc["begin"] : arc["end"]] for arc in row["dependencies"]] == row["text"].split()


def test_what_parsing_does_not_read_is_no_fault(tmp_path: Path) -> None:
    """Buffers of older versions, the states of metrics, an older file format, and no pooler: the trees are the same."""
    save_parser(tmp_path, "bert-wordpiece")
    expected = parse(tmp_path)
    state = torch.load(tmp_path / "dp-model.bin", weights_only=True)
    for name in ("model.pooler.dense.weight", "model.pooler.dense.bias"):
        del state[name]
    state |= {"model.embeddings.position_ids": torch.arange(256)[None], "metrics.uas.correct": torch.zeros(1)}
    torch.save(state, tmp_path / "dp-model.bin", _use_new_zipfile_serialization=False)
    assert parse(tmp_path) == expected


def test_a_text_longer_than_the_model_has_no_tree(tmp_path: Path) -> None:
    """It is flagged, and the others of its batch are parsed."""
    save_parser(tmp_path, "roberta-bytes")
    long, short = parse(tmp_path, (" ".join(SENTENCES * 4), SENTENCES[0]))
    assert long["flags"] == ["dp_skipped_too_long"]
    assert long["dependencies"] is None
    assert len(short["dependencies"]) == len(SENTENCES[0].split())


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_lower_precision_parses(tmp_path: Path, precision: str) -> None:
    """Trees over every eojeol, with scores that are probabilities."""
    save_parser(tmp_path, "bert-wordpiece")
    for row in parse(tmp_path, precision=precision):
        assert [arc["form"] for arc in row["dependencies"]] == row["text"].split()
        assert all(0 <= arc["score"] <= 1 for arc in row["dependencies"])


def change_state(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    state = torch.load(folder / "dp-model.bin", weights_only=True)
    change(state)
    torch.save(state, folder / "dp-model.bin")


def test_the_weights_are_part_of_the_model_s_hash(tmp_path: Path) -> None:
    """A plan made with other weights does not go on."""
    save_parser(tmp_path, "bert-wordpiece")
    config = resolve_models(ModelConfig(tasks=("dp",), models={"dp": str(tmp_path)}))
    before = hash_folder(tmp_path)
    change_state(tmp_path, lambda state: state["arc_c.bias"].add_(1))
    assert hash_folder(tmp_path) != before
    with pytest.raises(RuntimeError, match="must be the one that the plan was made with"):
        load_engines(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.update({"pos_embedding.weight": torch.zeros(40, 8)}),
            r"got weights of another shape: dependency.pos_embedding.weight \(40, 8\) instead of \(46, 8\), "
            r"dependency.encoder.weight_ih_l0 \(48, 32\) instead of \(48, 40\)",
        ),
        (lambda state: state.pop("hx_dense.bias"), r"got weights missing: dependency.hx_dense.bias in .*Save model"),
        (lambda state: state.pop("arc_c.weight"), r"got no matrix arc_c.weight in"),
        (lambda state: state.pop("decoder.weight_ih_l0"), r"got no matrix decoder.weight_ih_l0 in"),
        (lambda state: state.update({"arc_c.weight": torch.tensor(1.0)}), r"got no matrix arc_c.weight in"),
        (
            lambda state: state.update({"model.encoder.layer.2.output.dense.bias": torch.zeros(16)}),
            r"got weights unknown: encoder.encoder.layer.2.output.dense.bias in",
        ),
        (
            lambda state: state.update({"bilinear.U": torch.zeros(40, 6, 6)}),
            r"with KLUE's 38 labels, got weights of another shape: "
            r"dependency.bilinear.U \(40, 6, 6\) instead of \(38, 6, 6\) in",
        ),
        (lambda state: state.update({"epoch": 3}), r"must hold a state dict, names with their weights, got a .* with"),
    ],
    ids=["pos", "missing", "no-size", "no-lstm", "scalar", "unknown", "labels", "checkpoint"],
)
def test_weights_that_do_not_fit_are_refused_before_the_run(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """Each with what is wrong and the remedy."""
    save_parser(tmp_path, "bert-wordpiece")
    change_state(tmp_path, change)
    with pytest.raises(ValueError, match=rf"^`dp_model` .*{message}"):
        resolve_models(ModelConfig(tasks=("dp",), models={"dp": str(tmp_path)}))


class Evil:
    """What a pickle may run; reading weights alone does not."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched"),))


def test_a_pickle_of_more_than_weights_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, and what it would do is not done."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "parser"
    save_parser(folder, "bert-wordpiece")
    torch.save({"model": Evil()}, folder / "dp-model.bin")
    with pytest.raises(ValueError, match=r"`dp_model` must hold a state dict that is nothing but weights, got Unpick"):
        resolve_models(ModelConfig(tasks=("dp",), models={"dp": str(folder)}))
    assert not (tmp_path / "touched").exists()


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    """Cut off, or something else altogether."""
    save_parser(tmp_path, "bert-wordpiece")
    (tmp_path / "dp-model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must hold a state dict that is nothing but weights, got EOFError for"):
        resolve_models(ModelConfig(tasks=("dp",), models={"dp": str(tmp_path)}))


def test_a_folder_without_the_state_dict_is_refused(tmp_path: Path) -> None:
    """The two kinds of folders that DP takes are named."""
    save_parser(tmp_path, "bert-wordpiece")
    (tmp_path / "dp-model.bin").unlink()
    expected = (
        r"`dp_model` must be a folder written by `klue-beam train`, or one with KLUE-baseline's dp-model.bin, got"
    )
    with pytest.raises(ValueError, match=expected):
        resolve_models(ModelConfig(tasks=("dp",), models={"dp": str(tmp_path)}))


def test_a_parser_without_a_tokenizer_or_with_an_unknown_encoder_is_refused(tmp_path: Path) -> None:
    """As other checkpoints are."""
    save_parser(tmp_path, "bert-wordpiece")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).rename(tmp_path / f"away-{name}")
    config = ModelConfig(tasks=("dp",), models={"dp": str(tmp_path)})
    with pytest.raises(ValueError, match=r"(?s)`dp_model` must have a fast tokenizer beside its weights"):
        resolve_models(config)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nobody"}))
    with pytest.raises(ValueError, match=r"(?s)`dp_model` must have a config.json of a model that transformers knows"):
        resolve_models(config)
