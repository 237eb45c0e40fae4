"""Every command: its help is quick and whole, a wrong call says in one line what to do, Ctrl-C ends in one line."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from klue_beam.beam_pipelines.cli import COMMANDS, main
from klue_beam.beam_pipelines.commands.base import CommandParser
from klue_beam.schemas.registry import SPLITTERS, TASKS
from tests.klue_rows import write_all
from tests.tiny_models import tiny_checkpoint

HEAVY = ("torch", "transformers", "apache_beam", "dask", "distributed", "kss", "rich")
"""What takes long to import. The tasks' descriptions need pyarrow and numpy."""


def make_parser(command: str) -> CommandParser:
    parser: CommandParser = importlib.import_module(COMMANDS[command][0]).make_parser()
    return parser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled rows of each task, a model, and a file README.md."""
    folder = tmp_path_factory.mktemp("files")
    write_all(folder)
    tiny_checkpoint(folder / "model")
    (folder / "README.md").write_text("# A file\n", encoding="utf-8")
    return folder


@pytest.fixture
def here(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, as the working directory."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return files


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_that_takes_long(command: str) -> None:
    code = (
        "import sys; from klue_beam.beam_pipelines.cli import main; code = main([sys.argv[1], '--help']); "
        f"print('imported', [name for name in {HEAVY} if name in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported []"
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option_and_shows_a_call(command: str) -> None:
    parser = make_parser(command)
    assert [action.dest for action in parser._actions if not action.help] == []
    text = parser.format_help()
    assert "None" not in text
    assert f"\n  klue-beam {command} " in text.partition("Example")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_are_calls_that_parse(command: str) -> None:
    parser = make_parser(command)
    examples = [line for line in (parser.epilog or "").splitlines() if line.startswith(f"  klue-beam {command} ")]
    assert examples
    for line in examples:
        parser.parse_args(shlex.split(line)[2:])


def test_registered_names_are_in_the_help_of_annotate() -> None:
    text = make_parser("annotate").format_help()
    assert "{" + ",".join(SPLITTERS) + "}" in text
    assert all(f"--{task}_model" in text for task in TASKS)


TRAIN = ["train", "--task", "tc", "--data", "tc.json", "--output", "out", "--base", "model"]
EVALUATE = ["evaluate", "--task", "tc", "--data", "tc.json", "--model", "model"]
ANNOTATE = ["annotate", "--input", "tc.json", "--input_format", "jsonl", "--output", "out", "--model", "model"]
CALIBRATE = ["calibrate", "--model", "model", "--tc_data", "tc.json"]
AVERAGE = ["average", "--models", "model", "model", "--output", "out"]
MISSING = "A file could not be opened, got 'absent': No such file or directory. Check the path."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # Options that nobody knows.
        ([*TRAIN, "--epoch", "tc=1"], "Each option must be one of `klue-beam train`, got '--epoch tc=1'. "
         "Did you mean --epochs?"),
        ([*EVALUATE, "--row", "all"], "Every option must be one of klue-beam's or of Beam's, got '--row all'. "
         "Did you mean --rows?"),
        ([*ANNOTATE, "--worker", "2"], "Every option must be one of klue-beam's or of Beam's, got '--worker 2'. "
         "Did you mean --workers?"),
        ([*CALIBRATE, "--thread", "2"], "Each option must be one of `klue-beam calibrate`, got '--thread 2'. "
         "Did you mean --threads?"),
        ([*AVERAGE, "--nme", "x"], "Each option must be one of `klue-beam average`, got '--nme x'. "
         "Did you mean --name?"),
        (["verify", "out", "--zzz"], "Each option must be one of `klue-beam verify`, got '--zzz'. "
         "`klue-beam verify --help` lists them."),
        # What must be given.
        (["train", "--task", "tc"], "`--data`, `--output` must be given, got none. "
         "`klue-beam train --help` explains them."),
        (["evaluate"], "`--task`, `--data` must be given, got none. `klue-beam evaluate --help` explains them."),
        (["average"], "`--models`, `--output` must be given, got none. `klue-beam average --help` explains them."),
        (["calibrate"], "`--model` must be given, got none. `klue-beam calibrate --help` explains them."),
        (["verify"], "`DIR` must be given, got none. `klue-beam verify --help` explains them."),
        (["annotate", "--output", "out"], "`--input` must be given, got None. Name a path."),
        ([*ANNOTATE, "--model"], "`--model` must have a value, got none. Write one behind it."),
        # Values that an option cannot have.
        ([*ANNOTATE, "--splitter", "kiw"], "`--splitter` must be one of fast, kss, kiwi, newline, none, got 'kiw'. "
         "Did you mean kiwi?"),
        ([*ANNOTATE, "--workers", "two"], "`--workers` must be a whole number, got 'two'. Write it in digits."),
        ([*ANNOTATE, "--shard_bytes", "8M"], "`--shard_bytes` must be a number of bytes, or one with a unit as in "
         "512KiB, 8MiB, 1GB, got '8M'. Write it so."),
        ([*ANNOTATE, "--tasks", "tc,nre"], "`--tasks` must be a list out of tc,ner,re,dp, got 'tc,nre'. "
         "Name at least one of them, separated by commas."),
        ([*ANNOTATE, "--tasks", "re"], "`--tasks` with re must have ner too, whose column it reads, got 're'. "
         "Add ner."),
        ([*EVALUATE, "--task", "xx"], "`--task` must be one of tc, ner, re, dp, got 'xx'. Choose one of them."),
        ([*TRAIN, "--swap_mentions", "half"], "`--swap_mentions` must be a number, got 'half'. "
         "Write it in digits, as in 0.5."),
        # Files that are not there, and folders that are files.
        ([*TRAIN, "--data", "absent"], MISSING),
        ([*TRAIN, "--dev", "absent"], MISSING),
        ([*EVALUATE, "--data", "absent"], MISSING),
        ([*CALIBRATE, "--tc_data", "absent"], MISSING),
        ([*ANNOTATE, "--input", "absent"], "Each input must match at least one file, got 'absent'"),
        (["verify", "absent"], "`dataset` must be the folder of a dataset, got 'absent'. Name one that is there."),
        ([*AVERAGE, "--models", "model", "absent"], "`--models` must be folders that `klue-beam train` wrote, got "
         "'absent'. Check the path."),
        ([*ANNOTATE, "--output", "README.md"], "`--output` must be a folder, got 'README.md': it is a file. "
         "Name another path."),
        ([*TRAIN, "--output", "README.md/x"], "`--output` must be a folder, got 'README.md/x': "),
        ([*AVERAGE, "--output", "README.md"], "`--output` must be a folder, got 'README.md': it is a file. "
         "Name another path."),
    ],
    ids=lambda value: " ".join(value[:1] + value[-2:]) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_call_ends_in_one_line_that_says_what_to_do(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"klue-beam {arguments[0]}: {message}")
    assert sorted(here.rglob("*")) == before


def test_a_name_with_escapes_does_not_reach_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "a\x1b[2Jb"]) == 2
    assert main(["\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


INTERRUPT_AT_IMPORT = """
import os, signal, sys

moment = sys.argv.pop(1)

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started without it
sys.meta_path.insert(0, Interrupt())
from klue_beam.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("klue_beam.beam_pipelines.cli", ANNOTATE),
        ("klue_beam.beam_pipelines.commands.annotate", ANNOTATE),
        ("klue_beam.transforms.tasks.topic", ANNOTATE),
        ("pyarrow", ANNOTATE),
        ("apache_beam", ANNOTATE),
        ("distributed", ANNOTATE),
        ("torch", TRAIN),
        ("transformers", EVALUATE),
    ],
)
def test_ctrl_c_while_libraries_are_imported_ends_in_one_line(module: str, arguments: list[str], here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT_AT_IMPORT, module, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"klue-beam( \w+)?: Stopped( before anything was done)?\.", line)
