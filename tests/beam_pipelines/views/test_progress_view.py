"""Progress counts what was committed once, whatever starts again."""

import re

from rich.console import Console

from klue_beam.beam_pipelines.views.progress import Counts, JobProgress, PlanView, ProgressView
from klue_beam.schemas.shard import Shard, SourceRange

SHARD = Shard(7, (SourceRange("a.jsonl", 1000, "1", 0, 1000, 0),))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def event(attempt: int, amount: int) -> dict[str, float]:
    return {
        "shard_id": 7,
        "attempt": attempt,
        "documents": 2,
        "sentences": 10,
        "rejects": 1,
        "amount": amount,
        "expansion": 0.0,
    }


def test_a_shard_that_starts_again_is_not_counted_twice() -> None:
    progress = JobProgress(before=Counts(documents=5, sentences=50, amount=500), clock=Clock())
    progress.start_attempt(SHARD, 1)
    progress.hear(event(1, 100))
    progress.start_attempt(SHARD, 2)
    progress.hear(event(1, 100))  # a late word from the attempt that died
    progress.hear(event(2, 100))
    done, _, _ = progress.describe(None)
    assert done == Counts(documents=7, sentences=60, rejects=1, amount=600)


def test_speed_and_time_left_are_those_between_chunks() -> None:
    """The start of the workers is no part of them, so nothing is told before the second chunk."""
    clock = Clock()
    progress = JobProgress(before=Counts(amount=500), clock=clock)
    progress.start_attempt(SHARD, 1)
    clock.now += 30
    progress.hear(event(1, 100))
    assert progress.describe(1000)[1:] == (None, None)
    clock.now += 10
    progress.hear(event(1, 100))
    _, rate, left = progress.describe(total_amount=1000)
    assert rate == 1.0
    assert left == 30.0
    assert progress.describe(total_amount=None)[2] is None
    assert progress.average_rate() == 0.5


def test_speed_is_that_of_the_last_minutes() -> None:
    clock = Clock()
    progress = JobProgress(clock=clock)
    progress.start_attempt(SHARD, 1)
    for seconds in (1, *[100] * 5, *[1] * 200):
        clock.now += seconds
        progress.hear(event(1, 100))
    assert progress.describe(None)[1] == 10.0


def test_planning_is_shown_where_it_takes_long() -> None:
    """A pipe gets a plain line now and then; what is planned at once shows nothing."""
    console = Console(width=40, force_terminal=False)
    with console.capture() as capture, PlanView(console) as view:
        view.hear(1_000_000, 5_000_000)
        view._printed_at -= 100
        view.hear(2_000_000, 5_000_000)
    assert capture.get() == "planning: 2 of 5 MB looked through\n"
    console = Console(width=80, force_terminal=True)
    with console.capture() as capture, PlanView(console) as view:
        view.hear(1_000_000, 5_000_000)
    assert capture.get() == ""
    with console.capture() as capture, PlanView(console) as view:
        view._began_at -= 100
        view.hear(2_000_000, 5_000_000)
    assert "2.0/5.0 MB" in capture.get()


def test_a_pipe_gets_plain_lines_and_no_control_characters() -> None:
    """What matters most is first, and the time of day before it."""
    clock = Clock()
    progress = JobProgress(clock=clock)
    console = Console(width=40, force_terminal=False)
    with console.capture() as capture, ProgressView(console, progress, lambda: 400, "MB") as view:
        view.refresh()
        progress.start_attempt(SHARD, 1)
        for _ in range(2):
            clock.now += 2
            progress.hear(event(1, 100))
        view.refresh()
        view._printed_at -= 100
        view.refresh()
        view.say("shard 7 [a] failed")
    line, said = capture.get().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d", line[:8])
    assert line[9:] == "50.0 % · 0:00:04 left · 5 sentences/s · 20 sentences · 2 rejects · 4 documents · 0.0 MB"
    assert said == "shard 7 [a] failed"
