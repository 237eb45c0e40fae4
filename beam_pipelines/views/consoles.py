"""Consoles, and what they do for all that is printed: text of files never steers the terminal."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.segment import Segment

from klue_beam.transforms.base.printable import show_lines


def open_console(*, stderr: bool = False, width_of_a_file: int | None = None) -> Console:
    """Open a console on standard output or standard error; every command prints through one.

    Control characters in what is printed, of an id, a file's name or a sentence, become their pictures.

    Args:
      stderr: on standard error.
      width_of_a_file: how wide it is where it is no terminal and COLUMNS is not set; None for what rich takes.
    """
    console = Console(stderr=stderr)
    if width_of_a_file is not None and not console.is_terminal:
        width = shutil.get_terminal_size().columns if os.environ.get("COLUMNS") else width_of_a_file
        console = Console(stderr=stderr, width=width)
    console.push_render_hook(_HarmlessHook())
    return console


class _HarmlessHook(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """See RenderHook."""
        return [_Harmless(one) for one in renderables]


@dataclass(frozen=True, slots=True)
class _Harmless:
    """What is printed, its text without control characters; rich's own are apart from text."""

    shown: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.shown, options):
            yield segment if segment.control else Segment(show_lines(segment.text), segment.style)
