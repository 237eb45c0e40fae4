"""Progress of a job, within its shards too: a live bar in a terminal, now and then a plain line elsewhere."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from klue_beam.schemas.shard import Receipt, Shard

PLAIN_LINE_SECONDS: Final = 10.0
"""How often a line is printed where there is no terminal."""

STEADY_SECONDS: Final = 120.0
"""The speed is that of the last so many seconds."""

PLANNING_SHOWN_SECONDS: Final = 1.0
"""Planning that takes longer than this is shown."""

BYTES_PER_MB: Final = 1_000_000


@dataclass(slots=True)
class Counts:
    """What was done so far; `amount` is in the input's own unit, decompressed bytes or the rows of Parquet."""

    documents: int = 0
    sentences: int = 0
    rejects: int = 0
    amount: int = 0

    def add(self, other: "Counts") -> None:
        """Add another's counts to these."""
        self.documents += other.documents
        self.sentences += other.sentences
        self.rejects += other.rejects
        self.amount += other.amount

    @classmethod
    def of_receipts(cls, receipts: Iterable[Receipt]) -> "Counts":
        """Sum up what receipts prove."""
        total = cls()
        for receipt in receipts:
            counts = receipt.counts
            total.add(cls(counts["documents"], counts["sentences"], counts["rejects"], receipt.amount))
        return total


@dataclass
class JobProgress:
    """Counts of a running job; safe to call from several threads.

    A shard that starts again, since its worker died or it failed, is counted from its receipts anew: what its lost
    attempt had reported is taken back. Speed is that of the last minutes, counted between chunks, so that the seconds
    in which workers start and load models are no part of it.

    Attributes:
      before: what earlier runs did.
      clock: seconds, monotonic.
    """

    before: Counts = field(default_factory=Counts)
    clock: Callable[[], float] = time.monotonic
    _of_attempt: dict[int, tuple[int, Counts]] = field(default_factory=dict)
    _began_at: float | None = None
    _heard: deque[tuple[float, int, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start_attempt(self, shard: Shard, attempt: int) -> None:
        """Note that a shard starts, or starts again; events of its earlier attempts no longer count."""
        with self._lock:
            self._began_at = self.clock() if self._began_at is None else self._began_at
            self._of_attempt[shard.shard_id] = (attempt, Counts())

    def hear(self, event: Mapping[str, float]) -> None:
        """Take in a chunk that a worker reports: the fields of ChunkProgress and `attempt`."""
        with self._lock:
            attempt, counts = self._of_attempt.get(int(event["shard_id"]), (-1, Counts()))
            if attempt != event["attempt"]:
                return
            sentences, amount = int(event["sentences"]), int(event["amount"])
            counts.add(Counts(int(event["documents"]), sentences, int(event["rejects"]), amount))
            now = self.clock()
            self._heard.append((now, sentences, amount))
            while now - self._heard[0][0] > STEADY_SECONDS and len(self._heard) > 2:
                self._heard.popleft()

    def average_rate(self) -> float:
        """Give the sentences a second of this run, its start included."""
        with self._lock:
            seconds = 0.0 if self._began_at is None else self.clock() - self._began_at
            return self._this_run().sentences / seconds if seconds > 0 else 0.0

    def describe(self, total_amount: int | None) -> tuple[Counts, float | None, float | None]:
        """Give the counts with those of earlier runs, sentences a second and the seconds left, where they are known."""
        with self._lock:
            together = Counts()
            together.add(self.before)
            together.add(self._this_run())
            (first, *_), *rest = self._heard or [(0.0, 0, 0)]
            seconds = self.clock() - first
            if not rest or seconds <= 0:
                return together, None, None
            # The first chunk was made before the clock of this speed began.
            rate = sum(sentences for _, sentences, _ in rest) / seconds
            amount = sum(amount for _, _, amount in rest)
            left = None
            if total_amount is not None and amount:
                left = max(0, total_amount - together.amount) * seconds / amount
            return together, rate, left

    def _this_run(self) -> Counts:
        total = Counts()
        for _, counts in self._of_attempt.values():
            total.add(counts)
        return total


def format_seconds(seconds: float | None) -> str:
    """Write a duration.

    >>> format_seconds(3725.4), format_seconds(None)
    ('1:02:05', '-:--:--')
    """
    if seconds is None:
        return "-:--:--"
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def make_bar(what: str, console: Console) -> Progress:
    """Make a bar that counts what is done, on a terminal; elsewhere it shows nothing.

    Args:
      what: what is counted, as in "verifying shards".
      console: where to.
    """
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class ProgressView:
    """Draws a JobProgress; as a context, it is on the screen inside.

    Args:
      console: where to.
      progress: what is drawn.
      total_amount: gives the amount of all inputs once it is known, None until then.
      unit: what the amount counts, "MB" or "rows".
    """

    def __init__(
        self, console: Console, progress: JobProgress, total_amount: Callable[[], int | None], unit: str
    ) -> None:
        self._console = console
        self._progress = progress
        self._total_amount = total_amount
        self._unit = unit
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("", line="starting the workers, loading the models", total=None)
        self._printed_at = time.monotonic()

    def __enter__(self) -> "ProgressView":
        self._bar.start()
        self._bar.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Draw the present state; cheap, to be called a few times a second."""
        total = self._total_amount()
        done, rate, left = self._progress.describe(total)
        if self._console.is_terminal:
            if done.amount:
                line = self._line(done, rate, left, total)
                self._bar.update(self._task, completed=done.amount, total=total or None, line=line)
            self._bar.refresh()
        elif time.monotonic() - self._printed_at >= PLAIN_LINE_SECONDS and done.amount:
            self._printed_at = time.monotonic()
            self.say(f"{time.strftime('%H:%M:%S')} {self._line(done, rate, left, total)}")

    def _line(self, done: Counts, rate: float | None, left: float | None, total: int | None) -> str:
        """Write the present state, what matters most first: a narrow terminal cuts the end off."""
        percent = [f"{100 * min(1.0, done.amount / total):.1f} %"] if total else []
        speed = "" if rate is None else f"{rate:,.0f} "
        amount = f"{done.amount / BYTES_PER_MB:,.1f} MB" if self._unit == "MB" else f"{done.amount:,} {self._unit}"
        rejects = [f"{done.rejects:,} rejects"] if done.rejects else []
        counts = [f"{done.sentences:,} sentences", *rejects, f"{done.documents:,} documents", amount]
        return " · ".join([*percent, f"{format_seconds(left)} left", f"{speed or '- '}sentences/s", *counts])


class PlanView:
    """Draws how far the planning of large inputs has come; nothing of what is planned within a second.

    Args:
      console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_at = self._printed_at = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("planning"), BarColumn(bar_width=24), DownloadColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None

    def __enter__(self) -> "PlanView":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def hear(self, done_bytes: int, total_bytes: int) -> None:
        """Hear how much was planned, of how much; cheap, to be called often."""
        now = time.monotonic()
        if self._console.is_terminal:
            if self._task is None and now - self._began_at > PLANNING_SHOWN_SECONDS:
                self._task = self._bar.add_task("")
                self._bar.start()
            if self._task is not None:
                self._bar.update(self._task, completed=done_bytes, total=total_bytes)
        elif now - self._printed_at >= PLAIN_LINE_SECONDS:
            self._printed_at = now
            done, total = (f"{n_bytes / BYTES_PER_MB:,.0f}" for n_bytes in (done_bytes, total_bytes))
            self._console.print(f"planning: {done} of {total} MB looked through", highlight=False, soft_wrap=True)
