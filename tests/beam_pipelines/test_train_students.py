"""`klue-beam train --teacher`: a smaller student of a model; scores while training; the card of what comes out."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from beam_pipelines.train import main
from schemas.labels import TASKS
from tests.beam_pipelines.test_train import command, losses
from tests.klue_rows import PEOPLE, PLACES, write_all
from tests.tiny_models import SENTENCES, tiny_checkpoint
from tests.transforms.test_annotate import make_rows
from transforms.annotate import annotate
from transforms.config import ModelConfig
from transforms.models import folders
from transforms.models.checkpoint import load_model, save_model
from transforms.models.folders import hash_folder
from transforms.models.loading import load_engines
from transforms.models.resolving import resolve_models


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "docs.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": i, "text": " ".join(SENTENCES)}, ensure_ascii=False) + "\n" for i in range(3))
    return path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_a_student_comes_close_to_its_teacher(
    base: Path, data: dict[str, Path], documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of three layers learns from the whole model alone: its distance falls, on labelled rows and plain text."""
    more = ["--layers", "1", "--teacher", str(base), "--teacher_weight", "1", "--dev", f"tc={data['tc']}"]
    passes = ["--epochs", "tc=6", "ner=3", "re=2", "dp=3", "text=40", "--dev_rows", "50", "--checkpoint_steps", "30"]
    call = command(base, data, tmp_path / "student", *more, *passes)
    at = call.index("--data") + 1
    assert main([*call[:at], f"text={documents}", *call[at:]]) == 0
    for name, values in losses(tmp_path / "student").items():
        third = max(1, len(values) // 3)
        assert sum(values[-third:]) < 0.97 * sum(values[:third]), (name, values)
    err = said(capsys)
    assert "text 6" in err, "the distinct sentences of the documents"
    assert err.count("dev tc macro_f1") >= 2
    student, _ = load_model(tmp_path / "student")
    assert student.encoder.config.num_hidden_layers == 1
    models = dict.fromkeys(TASKS, str(tmp_path / "student"))
    rows, rejects = annotate(make_rows(SENTENCES), load_engines(resolve_models(ModelConfig(models=models))))
    assert (rows.num_rows, rejects.num_rows) == (len(SENTENCES), 0)
    card = (tmp_path / "student" / "README.md").read_text(encoding="utf-8")
    for line in ("| teacher | model |", "| text | docs.jsonl.gz | 6 | 40.0 |", "| seed | 1 |", "| tc | macro_f1 |"):
        assert line in card
    assert str(tmp_path) not in card


def test_plain_sentences_teach_the_teachers_trees(
    base: Path, data: dict[str, Path], documents: Path, tmp_path: Path
) -> None:
    """A model of other weights learns heads and their labels from sentences that only the teacher parses."""
    other = tiny_checkpoint(tmp_path / "other", seed=2)
    more = ["--teacher", str(base), "--teacher_weight", "0.1", "--epochs", "dp=0.01", "text=300"]
    more += ["--head_rate", "0.002", "--encoder_rate", "0.001"]
    call = command(other, data, tmp_path / "student", *more, tasks=("dp",))
    at = call.index("--data") + 1
    assert main([*call[:at], f"text={documents}", *call[at:]]) == 0
    goal, before, after = (trees(folder) for folder in (base, other, tmp_path / "student"))
    assert len(goal) > 40
    assert share_of(before, goal) < 0.1
    assert share_of(after, goal) > 0.4


def trees(folder: Path) -> list[tuple[int, str]]:
    """Parse SENTENCES: the head and the label of each eojeol."""
    engines = load_engines(resolve_models(ModelConfig(tasks=("dp",), models={"dp": str(folder)})))
    rows, _ = annotate(make_rows(SENTENCES), engines)
    return [(arc["head"], arc["deprel"]) for tree in rows["dependencies"].to_pylist() for arc in tree]


def share_of(found: list[tuple[int, str]], goal: list[tuple[int, str]]) -> float:
    """Say how many of the arcs, with their labels, are the goal's."""
    return sum(ours == theirs for ours, theirs in zip(found, goal, strict=True)) / len(goal)


def test_raw_sentences_are_labelled_once(
    base: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that goes on finds their labels in its folder; with another table of forms they are made anew."""
    raw, forms = tmp_path / "raw.tsv", tmp_path / "forms.tsv"
    texts = [f"{PEOPLE[i % 10]} 씨는 {PLACES[i % 5]}에서 {i + 300}명을 만났다." for i in range(40)]
    raw.write_text("".join(f"raw-{i}\t{text}\n" for i, text in enumerate(texts)), encoding="utf-8")
    lines = ["form\tlabel\ttrain_freq", *(f"{name}\tPS_NAME\t9" for name in PEOPLE)]
    forms.write_text("\n".join([*lines, *(f"{name}\tLCP_CITY\t9" for name in PLACES)]) + "\n", encoding="utf-8")
    call = command(base, data, tmp_path / "model", "--stop_after", "1", "--epochs", "ner_raw=1", tasks=("ner",))
    at = call.index("--data") + 1
    call = [*call[:at], f"ner_raw={raw}", f"ner_forms={forms}", *call[at:]]
    assert main(call) == 0
    (kept,) = (tmp_path / "model").glob("weak_entities-*.jsonl")
    assert "ner_raw 40" in said(capsys)
    written = kept.stat().st_mtime_ns
    assert main(call) == 0
    assert kept.stat().st_mtime_ns == written
    forms.write_text("\n".join(lines) + "\n", encoding="utf-8")
    main(call)
    assert len(list((tmp_path / "model").glob("weak_entities-*.jsonl"))) == 2


def test_a_student_begins_as_its_teachers_layers(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """With everything frozen but a head, the other weights are copies of the last layer's and of the heads'."""
    output = tmp_path / "student"
    more = ["--layers", "1", "--frozen_layers", "1", "--epochs", "dp=1"]
    assert main(command(base, data, output, *more, tasks=("dp",))) == 0
    teacher, student = (load_model(folder)[0].state_dict() for folder in (base, output))
    for name, weight in student.items():
        if not name.startswith("dependency."):
            assert torch.equal(weight, teacher[name.replace("encoder.encoder.layer.0.", "encoder.encoder.layer.2.")])


def test_a_student_may_be_narrower(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Where the units that go have no say, nothing changes; heads that are not trained stay as they are."""
    wide = tmp_path / "wide"
    shutil.copytree(base, wide)
    model, tokenizer = load_model(wide)
    names = ("encoder.encoder.layer.{}.intermediate.dense", "encoder.encoder.layer.{}.output.dense")
    with torch.no_grad():
        for number in range(3):
            up, down = (model.get_submodule(name.format(number)) for name in names)
            up.weight[1::2] *= 0.01
            down.weight[:, 1::2] = 0.0
        model.relation.layers[0].down.weight[:, 1::2] = 0.0
    save_model(model, tokenizer, wide)
    expected = load_model(wide)[0]
    more = ["--intermediate_size", "32", "--frozen_layers", "3", "--epochs", "dp=0.01"]
    assert main(command(wide, data, tmp_path / "student", *more, tasks=("dp",))) == 0
    student = load_model(tmp_path / "student")[0]
    assert student.encoder.config.intermediate_size == 32
    assert student.relation.layers[0].up.out_features == 32
    ids = torch.arange(5, 25)[None]
    pairs = torch.tensor([[0, 20, 2, 3, 7, 9, 0, 2], [0, 20, 11, 11, 4, 6, 1, 1]])
    with torch.inference_mode():
        (theirs, their_lower), (ours, our_lower) = (m(ids, torch.ones_like(ids)) for m in (expected, student))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        scores = [m.relation(lower[0], pairs) for m, lower in ((expected, their_lower), (student, our_lower))]
        torch.testing.assert_close(scores[1], scores[0], atol=1e-3, rtol=1e-3)


def test_embeddings_can_be_another_models(
    base: Path,
    data: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A student can leave its frozen embeddings to the model that it took them from; both are hashed."""
    home = tmp_path / "embedded"
    shutil.copytree(base, home / "lender")
    monkeypatch.setattr(folders, "EMBEDDED_DIR", home)
    more = ["--embeddings_of", "lender", "--epochs", "tc=0.2"]
    assert main([*command(base, data, tmp_path / "model", *more, "--frozen_layers", "0", tasks=("tc",))]) == 0
    name = "encoder.embeddings.word_embeddings.weight"
    assert name not in load_file(tmp_path / "model" / "model.safetensors")
    borrowed = load_model(tmp_path / "model")[0].state_dict()[name]
    assert torch.equal(borrowed, load_model(base)[0].state_dict()[name])
    before = hash_folder(tmp_path / "model")
    tiny_checkpoint(home / "lender", seed=2)
    assert hash_folder(tmp_path / "model") != before
    assert main(command(base, data, tmp_path / "other", *more, "--frozen_layers", "0", tasks=("tc",))) == 2
    assert "The embeddings must be those of 'lender' (`embeddings_of`), got other ones" in said(capsys)
    assert main(command(base, data, tmp_path / "other", *more, tasks=("tc",))) == 2
    assert "`--embeddings_of` must be given with frozen embeddings (`--frozen_layers` of 0 or more), got -1" in said(
        capsys
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--teacher", "/no/such"], "`--teacher` must be a model folder that `klue-beam train` wrote, got '/no/such'"),
        (["--teacher", "BASE", "--teacher_weight", "0"], "`teacher_weight` must be above 0 and at most 1, got 0.0"),
        (["--teacher", "TC"], "A teacher must have the student's tasks, got one without ner"),
        (["--layers", "4"], "`layers` must be from 1 to the base's 3, got 4"),
        (
            ["--base", "TC", "--layers", "1"],
            "`--layers` must be given with a base that is a model folder with the tasks, or with `scratch`",
        ),
        (["--intermediate_size", "65"], "`intermediate_size` must be from 1 to the base's 64, got 65"),
        (
            ["--base", "TC", "--intermediate_size", "8"],
            "`--intermediate_size` must be given with a base that is a model folder with the tasks, got",
        ),
        (["--swap_mentions", "1.5"], "`--swap_mentions` must be from 0 to 1, got 1.5"),
        (
            ["--embeddings_of", "none", "--frozen_layers", "0"],
            "`embeddings_of` must name a model with embeddings of its own, got 'none'",
        ),
        (["--dev", "re=x", "tv=y"], "`--dev` must name a task of `--task`, got tv"),
        (["--dev_rows", "0"], "`--dev_rows` must be at least 1, got 0"),
        (["--data", "text=x", "ALL"], "`text` must have a teacher that labels it, got none"),
        (
            ["--teacher", "BASE", "--data", "text=/no/such*", "ALL"],
            "Each input must match at least one file, got '/no/such*'",
        ),
    ],
)
def test_a_wrong_call_is_refused(
    base: Path,
    data: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    message: str,
) -> None:
    """The exit code is 2, and the message has the rule and the value got."""
    alone = tiny_checkpoint(tmp_path / "alone", tasks=("tc",))
    files = [f"{task}={data[task]}" for task in TASKS]
    named = {"BASE": [str(base)], "TC": [str(alone)], "ALL": files}
    more = [part for word in change for part in named.get(word, [word])]
    assert (
        main(command(base, data, tmp_path / "model", "--epochs", "tc=0.01", "ner=0.01", "re=0.01", "dp=0.01", *more))
        == 2
    )
    assert message in said(capsys)


def test_a_teacher_of_other_pieces_or_labels_is_refused(
    base: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A student reads what its teacher reads, and scores what it scores."""
    other = tmp_path / "other"
    shutil.copytree(base, other)
    spec = json.loads((other / "klue_beam.json").read_text())
    spec["relations"] = [*spec["relations"][:-1], "per:neighbour"]
    (other / "klue_beam.json").write_text(json.dumps(spec))
    assert main(command(base, data, tmp_path / "model", "--teacher", str(other), tasks=("re",))) == 2
    assert "A teacher must have the student's labels, got other relations: no_relation" in said(capsys)
    shutil.rmtree(other)
    shutil.copytree(base, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"][-1][0] = "새말"
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert main(command(base, data, tmp_path / "model", "--teacher", str(other), tasks=("re",))) == 2
    assert "A teacher must read the same pieces as its student, got another vocabulary" in said(capsys)


def test_a_line_that_is_no_document_is_named(
    base: Path, data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text to learn from is the user's own: a broken line stops the run with its place."""
    path = tmp_path / "docs.jsonl"
    path.write_text('{"text": "네."}\n{"body": "아니오."}\n', encoding="utf-8")
    call = command(base, data, tmp_path / "model", "--teacher", str(base), tasks=("tc",))
    at = call.index("--data") + 1
    assert main([*call[:at], f"text={path}", *call[at:]]) == 2
    assert "Each record must give a text, got at record 1" in said(capsys)


def test_a_base_can_be_cut_to_the_pieces_of_texts(
    base: Path, data: dict[str, Path], documents: Path, tmp_path: Path
) -> None:
    """A model goes on with a smaller vocabulary; what it says of those texts begins the same."""
    more = ["--vocabulary_texts", str(documents), "--frozen_layers", "3", "--epochs", "dp=0.01"]
    assert main(command(base, data, tmp_path / "cut", *more, tasks=("dp",))) == 0
    whole, cut = load_model(base), load_model(tmp_path / "cut")
    assert cut[0].encoder.config.vocab_size < whole[0].encoder.config.vocab_size
    engines = [
        load_engines(resolve_models(ModelConfig(tasks=("tc", "ner"), models=dict.fromkeys(TASKS, str(folder)))))
        for folder in (base, tmp_path / "cut")
    ]
    rows, same = (annotate(make_rows(SENTENCES), each)[0].column("topic").to_pylist() for each in engines)
    assert rows == [{"label": topic["label"], "score": pytest.approx(topic["score"], abs=1e-3)} for topic in same]


def test_training_from_scratch_learns_and_goes_on(
    data: dict[str, Path], documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new encoder with a tokenizer of its own lowers its loss; a stopped run goes on with that tokenizer."""
    sizes = ["--layers", "2", "--hidden_size", "32", "--heads", "4", "--vocab_size", "200"]
    call = command(Path("scratch"), data, tmp_path / "new", *sizes, "--epochs", "tc=8", tasks=("tc",))
    assert main(call) == 2
    assert "`--base scratch` must have texts to make a vocabulary of (`--vocabulary_texts`), got 'none'" in said(capsys)
    call += ["--vocabulary_texts", str(documents)]
    assert main([*call, "--stop_after", "3"]) == 0
    pieces = (tmp_path / "new" / "tokenizer.json").read_bytes()
    assert main(call) == 0
    assert (tmp_path / "new" / "tokenizer.json").read_bytes() == pieces
    values = losses(tmp_path / "new")["tc"]
    assert sum(values[-3:]) < 0.9 * sum(values[:3])


def test_several_teachers_are_asked_together(base: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Two teachers of other weights teach what neither says alone; without the distance of states it falls, too."""
    other = tiny_checkpoint(tmp_path / "other", seed=19)
    more = ["--layers", "1", "--teacher", f"{base},{other}", "--teacher_weight", "1", "--state_weight", "0"]
    assert main(command(base, data, tmp_path / "student", *more, "--epochs", "tc=6", tasks=("tc",))) == 0
    values = losses(tmp_path / "student")["tc"]
    third = len(values) // 3
    assert sum(values[-third:]) < 0.97 * sum(values[:third])
    alone = command(base, data, tmp_path / "alone", *more, "--epochs", "tc=6", tasks=("tc",))
    alone[alone.index(f"{base},{other}")] = str(base)
    assert main(alone) == 0
    assert values[0] != losses(tmp_path / "alone")["tc"][0]
