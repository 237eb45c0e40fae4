"""Anyone's checkpoints: equal to plain transformers, one sentence at a time, and refused where they cannot serve."""

import functools
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.labels import ENTITY_TYPES, NER_TYPES, RE_ONLY_TYPES, RELATIONS, TOPICS, UNRELATED_OBJECT_TYPES
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.folders import EMBEDDED_DIR, hash_folder
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.tasks.entity.annotator import read_tag_scheme
from klue_beam.transforms.tasks.entity.tagging import bio_tags
from klue_beam.transforms.tasks.relation.pairs import marker_type
from tests.tiny_checkpoints import KINDS, save_checkpoint
from tests.tiny_models import SENTENCES, tiny_checkpoint

TEXTS = (*SENTENCES, "네", "서울에 눈이 온다.", SENTENCES[0])


def make_rows(texts: Sequence[str]) -> pa.RecordBatch:
    n = len(texts)
    rows = {name: [""] * n for name in ("doc_id", "source")} | {"record_index": range(n), "sentence_index": [0] * n}
    rows |= {"begin": [0] * n, "end": [len(text) for text in texts], "text": texts, "flags": [[]] * n}
    return pa.RecordBatch.from_pydict(rows | {"metadata": [None] * n}, schema=SENTENCE)


def run(texts: Sequence[str], **config: Any) -> list[dict[str, Any]]:
    """Through the public path: resolve, load, annotate."""
    resolved = resolve_models(ModelConfig(token_budget=512, **config))
    return annotate(make_rows(texts), load_engines(resolved))[0].to_pylist()


@functools.cache
def load_plain(folder: Path, auto: Any) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), auto.from_pretrained(folder).eval()


def plain_probabilities(folder: Path, auto: Any, text: str, *, rejoined: bool = False) -> tuple[np.ndarray, Any]:
    """The plain forward of transformers over one text; `rejoined` as KLUE-baseline reads marked ones."""
    tokenizer, model = load_plain(folder, auto)
    inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = inputs.pop("offset_mapping")[0].tolist()
    inputs.pop("token_type_ids", None)
    if rejoined:
        ids = tokenizer.convert_tokens_to_ids(rejoin(tokenizer, text))
        ids = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
        inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    with torch.inference_mode():
        logits = model(**inputs).logits[0]
    return torch.softmax(logits, -1).numpy(), offsets


@pytest.mark.parametrize("kind", KINDS)
def test_topics_are_those_of_the_plain_forward(tmp_path: Path, kind: str) -> None:
    """For each architecture and tokenizer, batched, label and score are transformers' own."""
    folder = save_checkpoint(tmp_path / "tc", kind, TOPICS, AutoModelForSequenceClassification)
    rows = run(TEXTS, tasks=("tc",), models={"tc": str(folder)})
    for row in rows:
        expected, _ = plain_probabilities(folder, AutoModelForSequenceClassification, row["text"])
        assert row["topic"]["label"] == TOPICS[int(expected.argmax())]
        assert row["topic"]["score"] == pytest.approx(expected.max(), abs=1e-4)
    assert len({round(row["topic"]["score"], 3) for row in rows}) > 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_topics_in_a_lower_precision_are_near_those_of_the_plain_forward(
    tmp_path: Path, kind: str, precision: str
) -> None:
    """For each architecture the products of matrices run in it, and the scores stay near.

    As near as 8 bits of weights that are far larger than trained ones let them.
    """
    torch.manual_seed(1)
    folder = save_checkpoint(tmp_path / "tc", kind, TOPICS, AutoModelForSequenceClassification)
    rows = run(TEXTS, tasks=("tc",), models={"tc": str(folder)}, precision=precision)
    for row in rows:
        expected, _ = plain_probabilities(folder, AutoModelForSequenceClassification, row["text"])
        assert expected[TOPICS.index(row["topic"]["label"])] == pytest.approx(expected.max(), abs=0.1)
        assert row["topic"]["score"] == pytest.approx(expected.max(), abs=0.1)


SCHEMES = {
    "BIO": ("O", "B-PS", "I-PS", "B-LC", "I-LC"),
    "BIOES": ("B-PER", "I-PER", "E-PER", "S-PER", "B-EVT", "I-EVT", "E-EVT", "S-EVT", "O"),
    "IO": ("O", "PS", "LC", "OG"),
    "suffix": ("PS-B", "PS-I", "LC-B", "LC-I", "O"),
}
MEANING = {
    "BIO": {"B-PS": "B PS", "I-PS": "I PS", "B-LC": "B LC", "I-LC": "I LC", "O": "O"},
    "BIOES": {
        "B-PER": "B PS", "I-PER": "I PS", "E-PER": "I PS", "S-PER": "B PS",
        "B-EVT": "B EVT", "I-EVT": "I EVT", "E-EVT": "I EVT", "S-EVT": "B EVT", "O": "O",
    },
    "IO": {"PS": "I PS", "LC": "I LC", "OG": "I OG", "O": "O"},
    "suffix": {"PS-B": "B PS", "PS-I": "I PS", "LC-B": "B LC", "LC-I": "I LC", "O": "O"},
}  # fmt: skip
"""What each label of a scheme says of the first character of its piece; on the others a B goes on as I."""


def plain_entities(text: str, probabilities: np.ndarray, offsets: list[tuple[int, int]], scheme: str) -> list[tuple]:
    """Entities from a plain forward, character by character: (label, begin, end, score)."""
    meaning = [MEANING[scheme][label] for label in SCHEMES[scheme]]
    types = list(dict.fromkeys(m[2:] for m in meaning if m != "O"))
    owner = owners(offsets)
    tags: dict[int, dict[str, float]] = {}
    for char in (c for c in owner if not text[c].isspace()):
        first = owner.get(char - 1) != owner[char] or text[char - 1].isspace()
        here = tags.setdefault(char, {})
        for label, p in zip(meaning, probabilities[owner[char]], strict=True):
            name = label if first or label == "O" else f"I {label[2:]}"
            here[name] = here.get(name, 0.0) + float(p)
    return spans_of(tags, types)


def owners(offsets: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The token that each character is of, of several the last."""
    return {char: token for token, (begin, end) in enumerate(offsets) for char in range(begin, end)}


def spans_of(tags: dict[int, dict[str, float]], types: Sequence[str]) -> list[tuple]:
    """Entities from the probabilities of each character's tags: (label, begin, end, score)."""
    found, span, before = [], [], None
    for char in [*sorted(tags), None]:
        tag, scores = "O", None
        if char is not None:
            tag = max(tags[char], key=lambda name: tags[char][name])
            scores = [sum(p for name, p in tags[char].items() if name[2:] == kind) for kind in types]
        goes_on = tag[0] == "I" and before is not None and before[2:] == tag[2:]
        if span and not goes_on:
            mean = np.mean([s for _, s in span], axis=0)
            found.append((types[int(mean.argmax())], span[0][0], span[-1][0] + 1, float(mean.max())))
            span = []
        if tag != "O":
            span.append((char, scores))
        before = tag if tag != "O" else None
    return found


@pytest.mark.parametrize("kind", ["bert-wordpiece", "roberta-bytes", "deberta-unigram"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_entities_are_those_of_the_plain_forward(tmp_path: Path, kind: str, scheme: str) -> None:
    """In every tag scheme, spans and labels are those that transformers' own tags mean, scores within 1e-4."""
    folder = save_checkpoint(tmp_path / "ner", kind, SCHEMES[scheme], AutoModelForTokenClassification)
    rows = run(TEXTS, tasks=("ner",), models={"ner": str(folder)})
    for row in rows:
        probabilities, offsets = plain_probabilities(folder, AutoModelForTokenClassification, row["text"])
        expected = plain_entities(row["text"], probabilities, offsets, scheme)
        assert [(e["label"], e["begin"], e["end"]) for e in row["entities"]] == [e[:3] for e in expected]
        np.testing.assert_allclose([e["score"] for e in row["entities"]], [e[3] for e in expected], atol=1e-4)
        assert all(row["text"][e["begin"] : e["end"]] == e["text"] for e in row["entities"])
    assert sum(len(row["entities"]) for row in rows) > 5


def mark(text: str, subject: dict[str, Any], object_: dict[str, Any], markers: str) -> str:
    """Write the markers of a convention, from the right so that offsets stay."""
    kinds = {"PS": "PER", "OG": "ORG", "LC": "LOC", "DT": "DAT", "TI": "NOH", "QT": "NOH"}
    for role, entity in sorted([("S", subject), ("O", object_)], key=lambda pair: -pair[1]["begin"]):
        begin, end, kind = entity["begin"], entity["end"], kinds.get(entity["label"], "POH")
        name = {"S": "subj", "O": "obj"}[role]
        before, after = {
            "klue": (f"<{name}>", f"</{name}>"),
            "typed": (f"<{role}:{kind}>", f"</{role}:{kind}>"),
            "punctuation": {"S": (f"@ * {kind} * ", " @"), "O": (f"# ^ {kind} ^ ", " #")}[role],
        }[markers]
        text = text[:begin] + before + text[begin:end] + after + text[end:]
    return text


def rejoin(tokenizer: Any, text: str) -> list[str]:
    """Tokenise a marked text; what stands right behind an end marker goes on with the word before it."""
    tokens = tokenizer.tokenize(text)
    for marker in ("</subj>", "</obj>"):
        behind = text.partition(marker)[2]
        at = tokens.index(marker) + 1
        if not behind or behind[0] == " ":
            continue
        if tokens[at] == "\u2581":
            tokens.pop(at)
        elif tokens[at][0] == "\u2581":
            tokens[at] = tokens[at][1:]
        elif "\u2581" not in "".join(tokens) and "가" <= tokens[at][0] <= "힣":
            tokens[at] = f"##{tokens[at]}"
    return tokens


@pytest.mark.parametrize(
    ("kind", "markers"),
    [
        ("bert-wordpiece", "klue"),
        ("deberta-unigram", "klue"),
        ("roberta-bytes", "typed"),
        ("electra-wordpiece", "punctuation"),
    ],
)
def test_relations_are_those_of_the_plain_forward(tmp_path: Path, kind: str, markers: str) -> None:
    """For each marker convention every candidate pair has the relation of the plain forward over its marked text."""
    labels = ("no_relation", *RELATIONS[1:6])
    # Positions enough that no marked text is windowed.
    folder = save_checkpoint(tmp_path / "re", kind, labels, AutoModelForSequenceClassification)
    ner = save_checkpoint(tmp_path / "ner", kind, ("O", "PS", "QT", "EVT"), AutoModelForTokenClassification)
    models = {"ner": str(ner), "re": str(folder)}
    rows = run(TEXTS[:5], tasks=("ner", "re"), models=models, re_markers=markers, max_pairs=4)
    checked = 0
    for row in rows:
        entities = row["entities"]
        pairs = [
            (abs(s["begin"] - o["begin"]), i, j)
            for i, s in enumerate(entities)
            for j, o in enumerate(entities)
            if i != j and s["label"] == "PS" and o["label"] not in UNRELATED_OBJECT_TYPES["PS"]
        ]
        assert ("re_pairs_cut" in row["flags"]) == (len(pairs) > 4)
        expected = []
        for _, i, j in sorted(pairs)[:4]:
            text = mark(row["text"], entities[i], entities[j], markers)
            auto = AutoModelForSequenceClassification
            scores, _ = plain_probabilities(folder, auto, text, rejoined=markers == "klue")
            if scores.argmax():
                expected.append((i, j, labels[int(scores.argmax())], float(scores.max())))
        got = [(r["subject"], r["object"], r["label"]) for r in row["relations"]]
        assert got == [e[:3] for e in sorted(expected)]
        np.testing.assert_allclose([r["score"] for r in row["relations"]], [e[3] for e in sorted(expected)], atol=1e-4)
        checked += len(expected)
    assert checked > 3


def test_entities_of_unknown_types_reach_the_embedded_relations(tmp_path: Path) -> None:
    """A label that is none of KLUE's is kept, and the multi-task relation head reads it as another proper noun."""
    ner = save_checkpoint(tmp_path / "ner", "bert-wordpiece", ("O", "PS", "EVT"), AutoModelForTokenClassification)
    small = tiny_checkpoint(tmp_path / "small")
    rows = run(TEXTS, tasks=("ner", "re"), models={"ner": str(ner), "re": str(small)})
    assert any(e["label"] == "EVT" for row in rows for e in row["entities"])
    assert all("re_failed" not in row["flags"] for row in rows)
    assert any(row["relations"] for row in rows)


def test_long_texts_go_by_windows(tmp_path: Path) -> None:
    """Past the positions, TC is the mean over windows and NER reaches the end, with flags; RE keeps pairs in reach."""
    tc = save_checkpoint(tmp_path / "tc", "roberta-bytes", TOPICS, AutoModelForSequenceClassification)
    ner = save_checkpoint(tmp_path / "ner", "roberta-bytes", ("O", "PS", "LC"), AutoModelForTokenClassification)
    re = save_checkpoint(tmp_path / "re", "roberta-bytes", RELATIONS, AutoModelForSequenceClassification)
    text = " ".join(SENTENCES * 4)
    models = {"tc": str(tc), "ner": str(ner), "re": str(re)}
    (row,) = run([text], tasks=("tc", "ner", "re"), models=models)
    assert row["flags"][:3] == ["tc_windowed", "ner_windowed", "re_windowed"]
    assert 0 < row["topic"]["score"] <= 1
    assert row["entities"][-1]["begin"] > 0.9 * len(text)


def change_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_checkpoint_without_a_label_map_is_refused(tmp_path: Path) -> None:
    """LABEL_0, LABEL_1, … say nothing; the remedy is id2label."""
    labels = [f"LABEL_{i}" for i in range(7)]
    folder = save_checkpoint(tmp_path / "tc", "bert-wordpiece", labels, AutoModelForSequenceClassification)
    with pytest.raises(ValueError, match=r"`tc_model` must name its labels, got LABEL_0, … in .*Set id2label"):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": str(folder)}))


def test_a_checkpoint_with_another_head_is_refused(tmp_path: Path) -> None:
    """A token classifier cannot classify topics, nor can an encoder without any head."""
    folder = save_checkpoint(tmp_path / "ner", "bert-wordpiece", ("O", "PS"), AutoModelForTokenClassification)
    with pytest.raises(ValueError, match=r"must be a checkpoint ForSequenceClassification, got BertForTokenClass"):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": str(folder)}))
    change_config(folder, architectures=None)
    with pytest.raises(ValueError, match=r"`ner_model` must be a checkpoint ForTokenClassification, got none in"):
        resolve_models(ModelConfig(tasks=("ner",), models={"ner": str(folder)}))


def test_a_checkpoint_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    """No tokenizer.json and nothing to make one of: the remedy is to save it."""
    folder = save_checkpoint(tmp_path / "tc", "bert-wordpiece", TOPICS, AutoModelForSequenceClassification)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"(?s)`tc_model` must have a fast tokenizer beside its weights, got none"):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": str(folder)}))


def test_weights_that_are_no_safetensors_are_read_as_tensors(tmp_path: Path) -> None:
    """A pytorch_model.bin gives the same topics, and other weights another hash."""
    folder = save_checkpoint(tmp_path / "tc", "bert-wordpiece", TOPICS, AutoModelForSequenceClassification)
    models = {"tc": str(folder)}
    expected, hashed = run(TEXTS, tasks=("tc",), models=models), hash_folder(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert run(TEXTS, tasks=("tc",), models=models) == expected
    assert hash_folder(folder) != hashed


class Harmful:
    """What a pickle of it does when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_never_runs(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "tc", "bert-wordpiece", TOPICS, AutoModelForSequenceClassification)
    (folder / "model.safetensors").unlink()
    torch.save({"classifier.weight": Harmful(tmp_path / "touched")}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"weights that fit its config\.json, got UnpicklingError"):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": str(folder)}))
    assert not (tmp_path / "touched").exists()


def test_weights_without_the_head_are_refused(tmp_path: Path) -> None:
    """An encoder whose config claims a head would get a random one from transformers; it is refused."""
    folder = save_checkpoint(tmp_path / "tc", "bert-wordpiece", TOPICS, AutoModelForSequenceClassification)
    encoder = AutoModelForSequenceClassification.from_pretrained(folder).bert
    encoder.save_pretrained(folder)
    change_config(folder, architectures=["BertForSequenceClassification"])
    with pytest.raises(ValueError, match=r"`tc_model` must hold all weights of a model ForSequenceC.*classifier"):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": str(folder)}))


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    """A config.json that is another model's is named, before anything runs."""
    folder = save_checkpoint(tmp_path / "tc", "bert-wordpiece", TOPICS, AutoModelForSequenceClassification)
    change_config(folder, hidden_size=32)
    with pytest.raises(ValueError, match=r"`tc_model` must hold weights that fit its config.json, got RuntimeError in"):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": str(folder)}))


def test_a_configuration_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """A model type that transformers does not have is named."""
    folder = save_checkpoint(tmp_path / "tc", "bert-wordpiece", TOPICS, AutoModelForSequenceClassification)
    change_config(folder, model_type="nobody")
    with pytest.raises(ValueError, match=r"(?s)`tc_model` must have a config.json of a model that transformers knows"):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": str(folder)}))


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is no folder and cannot be fetched is refused with the remedy."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"A model must be an embedded name, a folder .*, got 'nobody/nothing' \("):
        resolve_models(ModelConfig(tasks=("tc",), models={"tc": "nobody/nothing"}))


def test_an_unknown_marker_convention_is_refused() -> None:
    """The conventions are named."""
    with pytest.raises(ValueError, match="`re_markers` must be one of klue, typed, punctuation, got 'stars'"):
        resolve_models(ModelConfig(tasks=("tc",), re_markers="stars"))


def test_tag_schemes_map_types_to_klue() -> None:
    """Types that KLUE-RE writes another way get KLUE-NER's names; the rest stay."""
    scheme = read_tag_scheme(["O", "B-PER", "I-PER", "B-ORG", "B_EVT", "DAT"])
    assert scheme.types == ("PS", "OG", "EVT", "DT")


def check_entities(row: dict[str, Any], model: Any, hidden: torch.Tensor, offsets: list[tuple[int, int]]) -> None:
    """The entities of a row are those of its characters' most probable tags."""
    text, owner, seen, tags = row["text"], owners(offsets), Counter[int](), {}
    names = [tag.replace("-", " ", 1) for tag in bio_tags(model.spec.of["ner"].ner_types)]
    for char in sorted(c for c in owner if not text[c].isspace()):
        where = (torch.tensor([n]) for n in (0, owner[char], seen[owner[char]]))
        tags[char] = dict(zip(names, torch.softmax(model.entity(hidden, *where), -1)[0].tolist(), strict=True))
        seen[owner[char]] += 1
    expected = spans_of(tags, model.spec.of["ner"].ner_types)
    assert [(e["label"], e["begin"], e["end"]) for e in row["entities"]] == [e[:3] for e in expected]
    np.testing.assert_allclose([e["score"] for e in row["entities"]], [e[3] for e in expected], atol=1e-4)


def check_relations(row: dict[str, Any], model: Any, lower: torch.Tensor, offsets: list[tuple[int, int]]) -> None:
    """Each pair of entities that may be related has the relation that the head gives to it alone."""
    owner, entities, expected = owners(offsets), row["entities"], []
    for i, subject in enumerate(entities):
        for j, object_ in enumerate(entities):
            related = subject["label"] in UNRELATED_OBJECT_TYPES
            if i == j or not related or object_["label"] in UNRELATED_OBJECT_TYPES[subject["label"]]:
                continue
            tokens = [owner[char] for e in (subject, object_) for char in (e["begin"], e["end"] - 1)]
            types = [ENTITY_TYPES.index(marker_type(e["label"])) for e in (subject, object_)]
            scores = torch.softmax(model.relation(lower[0], torch.tensor([[0, len(lower[0]), *tokens, *types]])), -1)[0]
            if model.spec.of["re"].relations[int(scores.argmax())] != "no_relation":
                expected.append((i, j, model.spec.of["re"].relations[int(scores.argmax())], float(scores.max())))
    assert [(r["subject"], r["object"], r["label"]) for r in row["relations"]] == [e[:3] for e in expected]
    np.testing.assert_allclose([r["score"] for r in row["relations"]], [e[3] for e in expected], atol=1e-4)


def test_multi_task_engine_is_the_plain_forward_one_sentence_at_a_time(tmp_path: Path) -> None:
    """Topics, entities, relations and arcs of batches are those of the model called on each sentence alone."""
    folder = tiny_checkpoint(tmp_path / "model")
    # Mentions alone have another path into the entities; without them these are KLUE-NER's.
    ModelSpec.load(folder).change("ner", min_mention_score=1.1).save(folder)
    model, _ = load_model(folder)
    plain = AutoTokenizer.from_pretrained(folder)
    rows = run(TEXTS, models=dict.fromkeys(("tc", "ner", "re", "dp"), str(folder)), tasks=("tc", "ner", "re", "dp"))
    assert sum(len(row["entities"]) for row in rows) > 5
    assert sum(len(row["relations"]) for row in rows) > 5
    for row in rows:
        inputs = plain(row["text"], return_tensors="pt", return_offsets_mapping=True)
        offsets = inputs["offset_mapping"][0].tolist()
        with torch.inference_mode():
            hidden, lower = model.encode(inputs["input_ids"], inputs["attention_mask"])
            check_entities(row, model, hidden, offsets)
            check_relations(row, model, lower, offsets)
            topic = torch.softmax(model.topic(hidden, inputs["attention_mask"]), -1)[0]
            words = row["text"].split()
            spans, begin = [], 0
            for word in words:
                begin = row["text"].index(word, begin)
                spans.append((begin, begin + len(word)))
                begin += len(word)
            real = [t for t, (b, e) in enumerate(offsets) if row["text"][b:e].strip() and t + 1 < len(offsets)]
            # The mark of a word claims the word's first character; of two pieces with it the second has it.
            real = [t for t in real if offsets[t + 1] == [0, 0] or offsets[t + 1][0] != offsets[t][0]]
            first = [min(t for t in real if offsets[t][0] < e and b < offsets[t][1]) for b, e in spans]
            last = [max(t for t in real if offsets[t][0] < e and b < offsets[t][1]) for b, e in spans]
            arcs, dependents, heads = model.dependency(
                hidden, torch.tensor([first]), torch.tensor([last]), torch.tensor([len(words)])
            )
            arc = torch.softmax(arcs[0], -1)
            chosen = torch.tensor([[a["head"] for a in row["dependencies"]]])
            deprel = torch.softmax(model.dependency.score_labels(dependents, heads, chosen)[0], -1)
        assert row["topic"]["label"] == TOPICS[int(topic.argmax())]
        assert row["topic"]["score"] == pytest.approx(float(topic.max()), abs=1e-4)
        scores = arc[torch.arange(len(words)), chosen[0]] * deprel.max(-1).values
        np.testing.assert_allclose([a["score"] for a in row["dependencies"]], scores.numpy(), atol=1e-4)
        labels = [model.spec.of["dp"].deprels[i] for i in deprel.argmax(-1).tolist()]
        assert [a["deprel"] for a in row["dependencies"]] == labels


@pytest.mark.parametrize(("field", "gone"), [("min_entity_score", NER_TYPES), ("min_mention_score", RE_ONLY_TYPES)])
def test_entities_that_score_too_little_are_left_out(tmp_path: Path, field: str, gone: tuple[str, ...]) -> None:
    """By its own bound for KLUE-NER's types and for those that KLUE-RE alone has."""
    folder = shutil.copytree(EMBEDDED_DIR / "small", tmp_path / "model")
    texts = ("배우 오세린은 2016년에 서울에서 영화 '마지막 정거장'의 주연 배우로 상 세 개를 받았다.",)

    def labels() -> set[str]:
        rows = run(texts, models={"ner": str(folder)}, tasks=("ner",))
        return {entity["label"] for row in rows for entity in row["entities"]}

    before = labels()
    ModelSpec.load(folder).change("ner", **{field: 1.1}).save(folder)
    assert before & set(gone)
    assert labels()
    assert not labels() & set(gone)


def test_the_configuration_of_a_checkpoint_is_its_own(tmp_path: Path) -> None:
    """What the tests save is what transformers reads: the kinds under test are what they are called."""
    for kind in KINDS:
        folder = save_checkpoint(tmp_path / kind, kind, TOPICS, AutoModelForSequenceClassification)
        assert AutoConfig.from_pretrained(folder).model_type.split("-")[0] == kind.split("-")[0]
