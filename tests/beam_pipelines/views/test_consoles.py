"""What commands print: text of files never steers the terminal, rich's own colours stay."""

import pytest
from rich.table import Table
from rich.text import Text

from klue_beam.beam_pipelines.views.consoles import open_console

STEERING = "a\x1b[2J\x1b]0;title\x07\x9b1mb\u202e\rc"


def test_control_characters_of_what_is_printed_become_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    console = open_console()
    table = Table("name", box=None)
    table.add_row(Text(STEERING))
    for shown in (STEERING, Text(STEERING), table):
        console.print(shown, markup=False)
    said = capsys.readouterr().out
    assert not set(said) & set("\x1b\x07\x9b\u202e\r")
    assert said.count("a␛[2J␛]0;title") == 3
    assert said.count("\n") == 4


def test_colours_stay(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    open_console().print(Text("a\x1b[2J", style="bold red"))
    assert capsys.readouterr().out == "\x1b[1;31ma␛[2J\x1b[0m\n"


def test_a_file_is_as_wide_as_asked_unless_columns_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert open_console(width_of_a_file=321).width == 321
    monkeypatch.setenv("COLUMNS", "60")
    assert open_console(width_of_a_file=321).width == 60
    assert open_console(stderr=True).width == 60
