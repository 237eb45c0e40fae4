"""`klue-beam annotate`: from the options to a finished dataset."""

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineState, create_runner
from rich.console import Console
from rich.table import Table
from rich.text import Text

from klue_beam.beam_pipelines.commands.options import AnnotateOptions, infer_format, to_config
from klue_beam.beam_pipelines.local.amount import AmountMeter
from klue_beam.beam_pipelines.local.driver import ClusterConfig, DriverError, ShardJob, describe_shard, run_on_dask
from klue_beam.beam_pipelines.local.job import DatasetInUseError, Job, close_job, lock_dataset, open_job, plan_job
from klue_beam.beam_pipelines.views.drawing import draw_preview
from klue_beam.beam_pipelines.views.progress import Counts, JobProgress, ProgressView
from klue_beam.beam_pipelines.views.summary import draw_summary, summarize
from klue_beam.schemas.config import DEVICES, AnnotateConfig, require
from klue_beam.schemas.shard import Shard
from klue_beam.transforms.formats.bytes import SourceChangedError
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.split.sentences import splitter_version
from klue_beam.transforms.write.sink import clear_attempts

OK: Final = 0
INCOMPLETE: Final = 1
USAGE_ERROR: Final = 2

MOST_SOURCES_SHOWN: Final = 20
MOST_SHARDS_SHOWN: Final = 10

EPILOG: Final = """\
Every option of Apache Beam is taken too. With --runner NAME (DaskRunner in full:
apache_beam.runners.dask.dask_runner.DaskRunner) the same graph runs on that runner, without it in processes of this
machine. An unknown option is an error.

Exit codes: 0 when every record is in the data or in the rejects; 1 when not, when shards were set aside, when there
are more rejects than --max_rejects, and after Ctrl-C (the same command goes on from there); 2 for a wrong call, which
starts nothing.

Examples:
  klue-beam annotate --input news.jsonl.xz --output out --workers 4
  klue-beam annotate --input 'dump/*.txt' --text_unit block --tasks tc,ner --output out --dry_run
"""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command: the options of the dataset, and those of this run alone."""
    parser = argparse.ArgumentParser(
        prog="klue-beam annotate",
        usage="klue-beam annotate --input PATH ... --output DIR [OPTION ...]",
        description="Annotate Korean text: sentences, topics, entities, relations and dependency trees, as Parquet.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    AnnotateOptions._add_argparse_args(parser)
    group = parser.add_argument_group("this run alone (what is found does not depend on it)")
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (default: as many as there are cores)."
    )
    group.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of each process; processes times threads should be the cores (default: %(default)s, since "
        "another process is worth more than another thread; scores may differ in their last bits).",
    )
    group.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="where the models run: cuda is a GPU, which several processes may share; auto takes it where torch sees "
        "one, but for int8 (default: %(default)s).",
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run on the Dask cluster whose scheduler is at tcp://HOST:PORT; its machines must see the same files.",
    )
    group.add_argument(
        "--max_rejects", type=int, metavar="N", help="more rejects than this make the run a failure (exit code 1)."
    )
    group.add_argument("--dry_run", action="store_true", help="print what would be done; write nothing.")
    group.add_argument(
        "--preview",
        type=int,
        nargs="?",
        const=6,
        default=0,
        metavar="N",
        help="draw N annotated sentences at the end (6 if N is left out).",
    )
    return parser


class _FlagParser(argparse.ArgumentParser):
    """Takes the options that Beam's classes declare, those too that get their value when a template is run."""

    add_value_provider_argument = argparse.ArgumentParser.add_argument


def check_beam_flags(flags: Sequence[str], known_options: Iterable[str] = ()) -> None:
    """Check what the command's own parser did not know against all that Beam knows.

    Beam itself passes over an option that it does not know.

    Args:
      flags: options and values.
      known_options: the command's own options, to suggest from.

    Raises:
      ValueError: if Beam does not know one either, or its runner.
    """
    parser = _FlagParser("klue-beam annotate", add_help=False, allow_abbrev=False, conflict_handler="resolve")
    runner = PipelineOptions(list(flags)).view_as(StandardOptions).runner
    if runner:
        if "." in runner:
            with contextlib.suppress(ImportError):  # a runner of its own may bring options of its own
                importlib.import_module(runner.rpartition(".")[0])
        try:
            create_runner(runner)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"`--runner` must name a Beam runner that is installed, got {runner!r}: {error}"
            ) from error
    for options in PipelineOptions.__subclasses__():
        if options is not AnnotateOptions:
            options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(flags)
    if unknown:
        known = {name for action in parser._actions for name in action.option_strings} | set(known_options)
        near = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1)
        raise ValueError(
            f"Every option must be one of klue-beam's or of Beam's, got {' '.join(unknown)!r}. "
            + (f"Did you mean {near[0]}?" if near else "`klue-beam annotate --help` lists them.")
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What was asked for, read and checked.

    Attributes:
      options: the parsed options.
      beam_flags: the options that are Beam's.
      runner: the Beam runner that was named, None for the local driver.
      cluster: where the local driver runs shards.
    """

    options: argparse.Namespace
    beam_flags: tuple[str, ...]
    runner: str | None
    cluster: ClusterConfig

    @property
    def runs_here(self) -> bool:
        """Whether all that writes to the dataset are processes of this call."""
        return self.runner is None and self.cluster.scheduler is None


def read_call(arguments: Sequence[str]) -> Call:
    """Read the command's arguments.

    Raises:
      ValueError: on an option that nobody knows, is missing, or does not go with another one.
      SystemExit: after --help, and on a value that is of a wrong type.
    """
    parser = make_parser()
    options, beam_flags = parser.parse_known_args(arguments)
    check_beam_flags(beam_flags, parser._option_string_actions)
    runner = PipelineOptions(beam_flags).view_as(StandardOptions).runner
    for name in ("input", "output"):
        require(bool(getattr(options, name)), f"`--{name}` must be given", getattr(options, name), "Name a path.")
    require(
        "://" not in options.output,
        "`--output` must be a folder, local or mounted",
        options.output,
        "Annotate into a folder and copy it, or mount the store.",
    )
    for name in ("workers", "scheduler"):
        require(
            runner is None or not getattr(options, name),
            f"`--{name}` is of the local driver and must be left out with --runner",
            getattr(options, name),
            "Leave one of the two out; Beam's runners have options of their own, as --direct_num_workers.",
        )
    require(options.workers is None or options.workers >= 1, "`--workers` must be at least 1", options.workers,
            "Leave it out for one a core.")  # fmt: skip
    for name in ("max_rejects", "preview"):
        number = getattr(options, name)
        require(number is None or number >= 0, f"`--{name}` must be at least 0", number, "Leave it out.")
    cluster = ClusterConfig(
        workers=options.workers or 0, threads=options.threads, device=options.device, scheduler=options.scheduler
    )
    return Call(options, tuple(beam_flags), runner, cluster)


def _resolve_config(options: argparse.Namespace) -> AnnotateConfig:
    config = to_config(options, options.input_format or infer_format(options.input))
    return dataclasses.replace(
        config, splitter_version=splitter_version(config.splitter), model=resolve_models(config.model)
    )


def _check_device(call: Call, job: Job) -> None:
    """Refuse a GPU that is not there before anything runs; on other machines only their own processes can tell."""
    if call.cluster.device == "cuda" and call.runs_here:
        from klue_beam.transforms.models.nets.precision import choose_device  # noqa: PLC0415  torch takes seconds to import

        choose_device(call.cluster.device, job.config.model.precision)


class _ShardObserver:
    """Brings what the local driver tells to the screen."""

    def __init__(self, progress: JobProgress, view: ProgressView) -> None:
        self.start_attempt = progress.start_attempt
        self.hear = progress.hear
        self.tick = view.refresh
        self.say = view.say


def _run_locally(call: Call, job: Job, console: Console) -> tuple[dict[Shard, str], float]:
    """Run the pending shards; give those that were set aside with the reason, and the sentences a second."""
    shard_job = ShardJob(job.dataset, job.config, call.beam_flags, call.cluster.threads, call.cluster.device)
    progress = JobProgress(before=Counts.of_receipts(job.receipts))
    with AmountMeter(job.plan, job.receipts) as meter, ProgressView(console, progress, meter.total, meter.unit) as view:
        set_aside = run_on_dask(call.cluster, job.pending, shard_job, _ShardObserver(progress, view))
    return set_aside, progress.describe(None)[1]


def _run_on_beam(call: Call, job: Job, console: Console) -> tuple[dict[Shard, str], None]:
    """Run the same graph on the Beam runner that was named."""
    from klue_beam.beam_pipelines.graphs.dataset import build  # noqa: PLC0415  torch takes seconds to import

    logging.getLogger("apache_beam").setLevel(logging.INFO)  # the job's name and where to watch it
    dataset_options = {
        name: getattr(call.options, name) for name in vars(AnnotateOptions([]))["_visible_options"].__dict__
    }
    options = AnnotateOptions(list(call.beam_flags), **dataset_options)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, job.pending, job.config, job.dataset, call.cluster.threads, call.cluster.device)
    try:
        result = pipeline.run()
        if not options.view_as(StandardOptions).no_wait_until_finish:
            state = result.wait_until_finish()
            if state not in (None, PipelineState.DONE):
                console.print(f"{call.runner} ended the job as {state}.")
    except Exception:  # whatever a runner raises: what it left undone is found and reported by the receipts
        logging.getLogger(__name__).exception("%s failed", call.runner)
    return {}, None


def _draw_plan(console: Console, job: Job) -> None:
    """Draw what a job would do."""
    shards_of: dict[str, int] = {}
    for shard in job.plan.shards:
        shards_of[shard.source] = shards_of.get(shard.source, 0) + 1
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


def _report(call: Call, job: Job, set_aside: Mapping[Shard, str], rate: float | None, out: Console) -> int:
    """Draw what came out of a run and give its exit code."""
    summary = summarize(job.dataset, job.receipts)
    draw_summary(out, job.dataset, summary, job.config.model.tasks, sentences_per_second=rate)
    code = OK
    if job.pending:
        code = INCOMPLETE
        for shard in job.pending[:MOST_SHARDS_SHOWN]:
            why = set_aside.get(shard, "it has no last receipt")
            out.print(Text(f"Not done: {describe_shard(shard)}: {why}"), soft_wrap=True)
        out.print(
            f"{len(job.pending):,} shards are not done. Run the same command again: it does only what is left.",
            soft_wrap=True,
        )
    rejects, most = summary.counts["rejects"], call.options.max_rejects
    if most is not None and rejects > most:
        code = INCOMPLETE
        out.print(f"There must be at most {most:,} rejects (`--max_rejects`), got {rejects:,}.", soft_wrap=True)
    if call.options.preview and code == OK:
        out.print()
        draw_preview(out, job.dataset, call.options.preview)
    return code


def _annotate(call: Call, job: Job, out: Console, err: Console) -> int:
    if job.is_finished:
        out.print("Nothing to do: every input is annotated already.")
        return _report(call, job, {}, None, out)
    open_job(job)
    set_aside: Mapping[Shard, str] = {}
    rate: float | None = None
    if job.pending:
        set_aside, rate = (_run_locally if call.runner is None else _run_on_beam)(call, job, err)
    return _report(call, close_job(job), set_aside, rate, out)


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
      The exit code, as the help text explains it.
    """
    out, err = Console(), Console(stderr=True)

    def end(why: Exception | str, code: int) -> int:
        err.print(Text(f"klue-beam annotate: {why}"), soft_wrap=True)
        return code

    with contextlib.ExitStack() as stack:
        try:
            call = read_call(arguments)
            config = _resolve_config(call.options)
            if not call.options.dry_run:
                stack.enter_context(lock_dataset(call.options.output))
            job = plan_job(call.options.output, call.options.input, config, call.cluster.device)
            _check_device(call, job)
        except (ValueError, ImportError, OSError, SourceChangedError, DatasetInUseError) as error:
            return end(error, USAGE_ERROR)
        except KeyboardInterrupt:
            return end("Stopped before anything was annotated.", INCOMPLETE)
        if call.options.dry_run:
            _draw_plan(out, job)
            return OK
        try:
            return _annotate(call, job, out, err)
        except KeyboardInterrupt:
            if call.runs_here:
                clear_attempts(job.dataset)
            return end("Stopped. What is committed stays; the same command goes on from there.", INCOMPLETE)
        except (DriverError, OSError, ValueError) as error:
            return end(error, INCOMPLETE)
