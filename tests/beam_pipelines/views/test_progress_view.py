"""Progress counts what was committed once, whatever starts again."""

from rich.console import Console

from klue_beam.beam_pipelines.views.progress import Counts, JobProgress, ProgressView
from klue_beam.schemas.shard import Shard, SourceRange

SHARD = Shard(7, (SourceRange("a.jsonl", 1000, "1", 0, 1000, 0),))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def event(attempt: int, amount: int) -> dict[str, int]:
    return {"shard_id": 7, "attempt": attempt, "documents": 2, "sentences": 10, "rejects": 1, "amount": amount}


def test_a_shard_that_starts_again_is_not_counted_twice() -> None:
    progress = JobProgress(before=Counts(documents=5, sentences=50, amount=500), clock=Clock())
    progress.start_attempt(SHARD, 1)
    progress.hear(event(1, 100))
    progress.start_attempt(SHARD, 2)
    progress.hear(event(1, 100))  # a late word from the attempt that died
    progress.hear(event(2, 100))
    done, _, _ = progress.describe(None)
    assert done == Counts(documents=7, sentences=60, rejects=1, amount=600)


def test_the_time_left_is_what_is_left_at_the_speed_of_this_run() -> None:
    clock = Clock()
    progress = JobProgress(before=Counts(amount=500), clock=clock)
    progress.start_attempt(SHARD, 1)
    clock.now += 10
    progress.hear(event(1, 100))
    _, rate, left = progress.describe(total_amount=1000)
    assert rate == 1.0
    assert left == 40.0
    assert progress.describe(total_amount=None)[2] is None


def test_a_pipe_gets_plain_lines_and_no_control_characters() -> None:
    clock = Clock()
    progress = JobProgress(clock=clock)
    console = Console(width=40, force_terminal=False)
    with console.capture() as capture, ProgressView(console, progress, lambda: 200, "MB") as view:
        view.refresh()
        progress.start_attempt(SHARD, 1)
        clock.now += 2
        progress.hear(event(1, 100))
        view.refresh()
        view._printed_at -= 100
        view.refresh()
        view.say("shard 7 [a] failed")
    assert capture.get().splitlines() == [
        "50.0 % · 2 documents · 10 sentences · 0.0 MB · 5 sentences/s · 0:00:02 left · 1 rejects",
        "shard 7 [a] failed",
    ]
