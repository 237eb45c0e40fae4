"""What `klue-beam annotate` shows: what would be done, and what came out."""

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from klue_beam.beam_pipelines.commands.annotate import Call
from klue_beam.beam_pipelines.commands.base import INCOMPLETE, OK
from klue_beam.beam_pipelines.local.job import Job
from klue_beam.beam_pipelines.views.drawing import draw_preview
from klue_beam.beam_pipelines.views.summary import Summary, draw_summary, summarize
from klue_beam.schemas.shard import Shard

MOST_SOURCES_SHOWN: Final = 20
MOST_SHARDS_SHOWN: Final = 10


def draw_plan(console: Console, job: Job) -> None:
    """Draw what a job would do."""
    shards_of: dict[str, int] = {}
    for shard in job.plan.shards:
        for part in shard.ranges:
            shards_of[part.source] = shards_of.get(part.source, 0) + 1
    table = Table("source", "MB", "shards", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for source in job.plan.sources[:MOST_SOURCES_SHOWN]:
        table.add_row(Text(source.path), f"{source.size_bytes / 1e6:,.1f}", f"{shards_of.get(source.path, 0):,}")
    if len(job.plan.sources) > MOST_SOURCES_SHOWN:
        table.add_row(f"… and {len(job.plan.sources) - MOST_SOURCES_SHOWN:,} more")
    table.add_row("together", f"{sum(source.size_bytes for source in job.plan.sources) / 1e6:,.1f}",
                  f"{len(job.plan.shards):,}")  # fmt: skip
    console.print(table)
    model = job.config.model
    for task in model.tasks:
        sha256 = model.model_sha256.get(task, "")
        console.print(Text(f"{task:<4}{model.models.get(task, '')} (sha256 {sha256[:12]}, {model.precision})"))
    console.print(f"{job.config.read.input_format} input, splitter {job.config.splitter}")
    console.print(f"{len(job.pending):,} of {len(job.plan.shards):,} shards are to do. Nothing was written.")


def _too_many_rejects(summary: Summary, most: int | None) -> str:
    """Say why a dataset's rejects make its run a failure; "" if they do not."""
    rejects, documents = summary.counts["rejects"], summary.counts["documents"]
    if most is not None:
        return f"There must be at most {most:,} rejects (`--max_rejects`), got {rejects:,}." if rejects > most else ""
    if rejects > documents:
        return (
            f"There must be more documents than rejects, got {documents:,} and {rejects:,}. Look at the rejects and "
            "correct the options or the inputs, or say with `--max_rejects` how many there may be."
        )
    return ""


def draw_report(call: Call, job: Job, set_aside: Mapping[Shard, str], rate: float | None, out: Console) -> int:
    """Draw what came out of a run and give its exit code."""
    dataset = job.read_back()
    summary = summarize(dataset)
    draw_summary(out, dataset, summary, sentences_per_second=rate)
    code = OK
    if job.pending:
        code = INCOMPLETE
        for shard in job.pending[:MOST_SHARDS_SHOWN]:
            why = set_aside.get(shard, "it has no last receipt")
            out.print(Text(f"Not done: {shard.describe()}: {why}"), soft_wrap=True)
        out.print(
            f"{len(job.pending):,} shards are not done. Run the same command again: it does only what is left.",
            soft_wrap=True,
        )
    if fault := _too_many_rejects(summary, call.options.max_rejects):
        code = INCOMPLETE
        out.print(fault, soft_wrap=True)
    if call.options.preview and code == OK:
        out.print()
        draw_preview(out, dataset, call.options.preview)
    return code
