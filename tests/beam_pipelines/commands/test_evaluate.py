"""`klue-beam evaluate` on small files with a tiny random model, its scores against other implementations of them."""

import json

import numpy as np
import pytest
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification

from klue_beam.beam_pipelines.commands.evaluate import main
from klue_beam.beam_pipelines.commands.evaluation_run import choose_rows
from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.labels import DEPRELS, RELATIONS, TOPICS
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.gold import halve_examples, split_held_out
from tests.tiny_checkpoints import save_checkpoint
from tests.tiny_models import SENTENCES, tiny_checkpoint

FN_API_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder with the four tasks."""
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", positions=128))


@pytest.fixture(scope="module")
def texts():
    """Sentences that differ; the tiny model decides on them at random."""
    return [f"{SENTENCES[n % len(SENTENCES)]} {n}번째 말이다." for n in range(40)]


@pytest.fixture(scope="module")
def files(tmp_path_factory, texts):
    """A file of each task in its official format, gold labels drawn at random."""
    folder = tmp_path_factory.mktemp("klue")
    rng = np.random.default_rng(0)
    tc = [{"guid": f"tc-{n}", "title": text, "label": str(rng.choice(TOPICS))} for n, text in enumerate(texts)]
    (folder / "tc.json").write_text(json.dumps(tc), encoding="utf-8")
    ner, dp = "", ""
    for n, text in enumerate(texts):
        begin = int(rng.integers(0, 3))
        ner += f"## ner-{n}\t{text}\n"
        ner += "".join(
            f"{char}\t{'B-PS' if i == begin else 'I-PS' if i == begin + 1 else 'O'}\n" for i, char in enumerate(text)
        )
        ner += "\n"
        forms = text.split()
        dp += f"## dp-{n}\t{text}\n"
        dp += "".join(
            f"{i}\t{form}\t{form}\tNNG\t{i + 1 if i < len(forms) else 0}\t{rng.choice(DEPRELS[:5])}\n"
            for i, form in enumerate(forms, 1)
        )
        dp += "\n"
    (folder / "ner.tsv").write_text(ner, encoding="utf-8")
    (folder / "dp.tsv").write_text(dp, encoding="utf-8")
    re_rows = [
        {
            "guid": f"re-{n}",
            "sentence": text,
            "subject_entity": {"word": text[0:2], "start_idx": 0, "end_idx": 1, "type": "PER"},
            "object_entity": {"word": text[4:6], "start_idx": 4, "end_idx": 5, "type": "POH"},
            "label": str(rng.choice(RELATIONS[:4])),
        }
        for n, text in enumerate(texts)
    ]
    # One sentence may stand there with several pairs.
    re_rows += [row | {"subject_entity": row["object_entity"] | {"type": "ORG"}, "object_entity": row["subject_entity"]}
                for row in re_rows]  # fmt: skip
    (folder / "re.json").write_text(json.dumps(re_rows), encoding="utf-8")
    return folder


def evaluate(tmp_path, *arguments):
    """Run the command and read the JSON that it wrote."""
    target = tmp_path / "scores.json"
    assert main([*arguments, "--threads", "1", "--json", str(target)]) == 0
    return json.loads(target.read_text(encoding="utf-8"))


def engine_of(model, *tasks):
    (engine,) = load_engines(ModelConfig(tasks=tasks, models=dict.fromkeys(tasks, model)))
    return engine


def test_tc(files, model, tmp_path, capsys):
    """Macro F1 is scikit-learn's on what the model says of each title; the JSON and the table have it."""
    path = str(files / "tc.json")
    scores = evaluate(tmp_path, "--task", "tc", "--data", path, "--model", model)
    examples = TASKS["tc"].read_gold(path)
    topics = engine_of(model, "tc").annotate([example.text for example in examples]).found["tc"]
    gold = [TOPICS.index(example.label) for example in examples]
    expected = 100 * f1_score(gold, topics.label, average="macro")
    assert {name: scores[name] for name in ("task", "data", "rows", "model")} == {
        "task": "tc",
        "data": path,
        "rows": 40,
        "model": model,
    }
    assert scores["metrics"] == {"macro_f1": pytest.approx(expected)}
    drawn = capsys.readouterr().out
    assert f"{expected:.2f}" in drawn
    assert "85.73" in drawn
    assert "The surest mistakes" in drawn


def test_ner(files, model, tmp_path):
    """Entity F1 is seqeval's on what the model finds in each sentence, types of KLUE-NER alone."""
    path = str(files / "ner.tsv")
    scores = evaluate(tmp_path, "--task", "ner", "--data", path, "--model", model)
    examples = TASKS["ner"].read_gold(path)
    entities = engine_of(model, "ner").annotate([example.text for example in examples]).found["ner"]
    tags = [["O"] * len(example.text) for example in examples]
    for text, begin, end, label in zip(entities.text, entities.begin, entities.end, entities.label, strict=True):
        if entities.labels[label] not in ("POH", "NOH"):
            rest = int(end - begin - 1)
            tags[text][begin:end] = [f"B-{entities.labels[label]}", *[f"I-{entities.labels[label]}"] * rest]
    gold = [list(example.tags) for example in examples]
    expected = 100 * seqeval_f1(gold, tags, average="macro", mode="strict", scheme=IOB2)
    assert set(scores["metrics"]) == {"entity_f1", "character_f1"}
    assert scores["metrics"]["entity_f1"] == pytest.approx(expected)


def test_re(files, model, tmp_path, capsys):
    """Each row's own pair is scored, also where a sentence stands there with another pair; entities are not sought.

    What the model finds by itself is counted against the gold mentions, by type.
    """
    path = str(files / "re.json")
    scores = evaluate(tmp_path, "--task", "re", "--data", path, "--model", model)
    assert scores["rows"] == 80
    assert set(scores["metrics"]) == {"micro_f1", "auprc"}
    assert scores["details"]["pairs_not_scored"] == 0
    assert "end_to_end_micro_f1" in scores["details"]
    examples = TASKS["re"].read_gold(path)
    entities = engine_of(model, "ner").annotate([example.text for example in examples]).found["ner"]
    found = set(zip(entities.text, entities.begin, entities.end, strict=True))
    spans = [(n, *e.subject[:2]) in found for n, e in enumerate(examples) if e.subject.type == "PS"]
    spans += [(n, *e.object[:2]) in found for n, e in enumerate(examples) if e.object.type == "PS"]
    assert [row["type"] for row in scores["mentions"]] == ["PS", "OG", "POH"]
    assert [row["gold"] for row in scores["mentions"]] == [80, 40, 40]
    assert scores["mentions"][0]["spans"] == pytest.approx(100 * np.mean(spans))
    assert scores["mentions"][1]["objects"] is None
    drawn = capsys.readouterr().out
    assert "Mentions of the gold pairs, found in running text" in drawn
    (row,) = (line.split() for line in drawn.splitlines() if line.startswith("POH "))
    assert row[-1] == "40"


def test_re_without_ner(files, tmp_path, capsys):
    """A model without ner is scored on gold pairs, and the command says what it leaves out."""
    folder = tiny_checkpoint(tmp_path / "re-only", tasks=("re",), positions=128)
    scores = evaluate(tmp_path, "--task", "re", "--data", str(files / "re.json"), "--model", str(folder))
    assert "end_to_end_micro_f1" not in scores["details"]
    assert set(scores["metrics"]) == {"micro_f1", "auprc"}
    assert "The end-to-end score is left out: `ner_model` must be a model trained for ner" in capsys.readouterr().err


@pytest.mark.parametrize("rows", ["all", "held_out"])
def test_dp(files, model, tmp_path, capsys, rows):
    """UAS is the share of right heads, on every row unless told otherwise, and the first lines say which rows."""
    path = str(files / "dp.tsv")
    more = [] if rows == "all" else ["--rows", rows]
    scores = evaluate(tmp_path, "--task", "dp", "--data", path, "--model", model, *more)
    examples = TASKS["dp"].read_gold(path)
    if rows == "held_out":
        examples = split_held_out(examples, TASKS["dp"].held_out)[1]
        assert len(examples) < 40
    assert scores["rows"] == len(examples)
    arcs = engine_of(model, "dp").annotate([example.text for example in examples]).found["dp"]
    gold = np.array([head for example in examples for head in example.heads])
    assert scores["metrics"]["uas"] == pytest.approx(100 * np.mean(arcs.head == gold))
    assert set(scores["metrics"]) == {"uas", "las", "uas_macro_f1", "las_macro_f1"}
    said = " ".join(capsys.readouterr().out.split())
    assert {
        "all": "40 rows: all rows of the file; a model trained on this file has learnt most of them (`--rows held_out`",
        "held_out": f"{len(examples)} rows: the fifth of the rows that `train` leaves out: trained on the",
    }[rows] in said


def test_a_named_runner_gives_the_same_scores(files, model, tmp_path):
    """Beam's --runner is taken; so is a half of the rows."""
    call = ["--task", "tc", "--data", str(files / "tc.json"), "--model", model, "--rows", "second_half"]
    first = evaluate(tmp_path, *call)
    assert first == evaluate(tmp_path, *call, "--runner", FN_API_RUNNER)
    assert first["rows"] == len(halve_examples(TASKS["tc"].read_gold(str(files / "tc.json")))[1])


@pytest.mark.parametrize("name", ["tc", "dp"])
def test_rows(files, name):
    """The two halves are all rows (of DP, all held-out ones), each once."""
    task: Task = TASKS[name]
    examples = task.read_gold(str(files / {"tc": "tc.json", "dp": "dp.tsv"}[name]))
    whole = choose_rows(task, "held_out" if name == "dp" else "all", examples)
    first, second = (choose_rows(task, f"{half}_half", examples) for half in ("first", "second"))
    assert first
    assert second
    assert sorted(example.guid for example in [*first, *second]) == sorted(example.guid for example in whole)
    assert choose_rows(task, "all", examples) == examples


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--task", "tc", "--data", "{files}/tc.json", "--rows", "held_out"],
            "`--rows held_out` must go with a task of whose rows `train` leaves some out, dp, got 'tc'. All its rows",
        ),
        (
            ["--task", "tv", "--data", "{files}/tc.json"],
            "`--task` must be one of tc, ner, re, dp, got 'tv'. Choose one",
        ),
        (
            ["--task", "tc", "--data", "{files}/tc.json", "--json", "{files}/none/x.json"],
            "none/x.json'. Make the folder, or name a file.",
        ),
        (["--task", "tc", "--data", "{files}/tc.json", "--json", "{files}"], "Make the folder, or name a file."),
        (["--task", "tc", "--data", "{files}/tc.json", "--work_dir", "/proc"], "/proc"),
        (["--task", "tc", "--data", "{files}/absent.json"], "No such file"),
        (["--task", "ner", "--data", "{files}/tc.json"], "row 1: the field 'text' is missing, got guid, title, label"),
        (["--task", "tc", "--data", "{files}/tc.json", "--threads", "0"], "`--threads` must be at least 1, got 0"),
        (["--task", "tc", "--data", "{files}/tc.json", "--tasks", "tc"], "Every option must be one of"),
        (["--task", "tc", "--data", "{files}/tc.json", "--token_budget", "1"], "`token_budget` must be at least 512"),
        (["--task", "dp", "--data", "{files}/empty.tsv"], "The file must hold a row to score"),
    ],
)
def test_wrong_calls(files, model, capsys, arguments, message):
    """A wrong call runs nothing, exits with 2 and names the rule and the value."""
    (files / "empty.tsv").write_text("", encoding="utf-8")
    call = [argument.format(files=files) for argument in arguments]
    assert main([*call, "--model", model]) == 2
    assert message in capsys.readouterr().err


def test_a_model_without_klues_relations_is_refused(files, tmp_path, capsys):
    folder = save_checkpoint(tmp_path / "re", "bert-wordpiece", ("none", "likes"), AutoModelForSequenceClassification)
    assert main(["--task", "re", "--data", str(files / "re.json"), "--re_model", str(folder)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "`--re_model` must have relations of KLUE-RE to be scored on its rows, got 'none, likes'. Name them" in said


def test_no_number_is_null_in_the_json(files, model, tmp_path):
    """A file without entities has no entity F1."""
    path = tmp_path / "ner.tsv"
    path.write_text("## a\t네\n네\tO\n\n", encoding="utf-8")
    target = tmp_path / "scores.json"
    assert main(["--task", "ner", "--data", str(path), "--model", model, "--threads", "1", "--json", str(target)]) == 0
    scores = json.loads(target.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert scores["rows"] == 1


def test_a_model_without_the_task_is_refused(files, tmp_path, capsys):
    """Before anything runs."""
    folder = tiny_checkpoint(tmp_path / "tc-only", tasks=("tc",))
    for task in tuple(TASKS)[1:]:
        name = {"ner": "ner.tsv", "re": "re.json", "dp": "dp.tsv"}[task]
        assert main(["--task", task, "--data", str(files / name), "--model", str(folder)]) == 2
        assert f"`{task}_model` must be a model trained for {task}" in capsys.readouterr().err


OWN_ROWS = {
    "tc": ('{"text": "금리가 또 올랐다", "label": "경제"}\n', "own.jsonl"),
    "ner": ('{"text": "김하늘이 왔다", "entities": [{"begin": 0, "end": 3, "label": "PS"}]}\n', "own.jsonl"),
    "re": (
        '{"text": "김하늘은 새별전자 대표다.", "subject": {"begin": 5, "end": 9, "label": "OG"}, '
        '"object": {"begin": 0, "end": 3, "label": "PS"}, "label": "org:top_members/employees"}\n',
        "own.jsonl",
    ),
    "dp": ('{"tokens": ["비가", "왔다."], "heads": [2, 0], "deprels": ["NP_SBJ", "VP"]}\n', "own.jsonl"),
    "dp conllu": ("1\t비가\t_\t_\t_\t_\t2\tNP_SBJ\t_\t_\n2\t왔다.\t_\t_\t_\t_\t0\tVP\t_\t_\n\n", "own.conllu"),
}


@pytest.mark.parametrize("case", OWN_ROWS)
def test_rows_of_ones_own(model, tmp_path, case):
    """A file that is none of KLUE's is scored by the same metrics, all of it."""
    content, name = OWN_ROWS[case]
    (tmp_path / name).write_text(content, encoding="utf-8")
    task = case.split()[0]
    scores = evaluate(tmp_path, "--task", task, "--data", str(tmp_path / name), "--model", model)
    assert scores["rows"] == 1
    assert set(scores["metrics"]) <= set(TASKS[task].metrics)
