"""A run of `klue-beam annotate`, from its checked call to a finished dataset."""

import argparse
import contextlib
import dataclasses
import logging
from collections.abc import Mapping

from rich.console import Console

from klue_beam.beam_pipelines.commands.annotate import NAME, Call
from klue_beam.beam_pipelines.commands.annotation_report import draw_plan, draw_report
from klue_beam.beam_pipelines.commands.base import INCOMPLETE, OK, explain, tell
from klue_beam.beam_pipelines.commands.inputs import infer_format
from klue_beam.beam_pipelines.commands.options import add_dataset_arguments, parse_tasks, to_config
from klue_beam.beam_pipelines.local.amount import AmountMeter
from klue_beam.beam_pipelines.local.driver import DriverError, ShardJob, run_on_dask
from klue_beam.beam_pipelines.local.job import Job, close_job, open_job, plan_job
from klue_beam.beam_pipelines.views.consoles import open_console
from klue_beam.beam_pipelines.views.progress import Counts, JobProgress, PlanView, ProgressView
from klue_beam.schemas.config import AnnotateConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.shard import Shard
from klue_beam.transforms.base.stores.base import DatasetInUseError, StoreError
from klue_beam.transforms.base.stores.opening import open_store
from klue_beam.transforms.formats.bytes import SourceChangedError
from klue_beam.transforms.models.checkpoints.folders import resolve_folder
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.read.first_look import require_documents
from klue_beam.transforms.split.sentences import splitter_version


def run(call: Call) -> int:
    """Do what was asked for.

    Args:
      call: read and checked.

    Returns:
      The exit code.

    Raises:
      ValueError, ImportError, OSError: if it cannot be begun; nothing was written.
    """
    with contextlib.ExitStack() as stack:
        try:
            job = _prepare(call, stack)
        except (SourceChangedError, DatasetInUseError) as error:
            raise ValueError(str(error)) from error
        except KeyboardInterrupt:
            tell(NAME, "Stopped before anything was annotated.")
            return INCOMPLETE
        if call.options.dry_run:
            draw_plan(open_console(), job)
            return OK
        return _finish(call, job)


def _prepare(call: Call, stack: contextlib.ExitStack) -> Job:
    """Plan the job; the dataset stays locked until the stack is closed."""
    config = _resolve_config(call.options)
    if not call.options.dry_run:
        stack.enter_context(open_store(call.options.output).lock())
    with PlanView(open_console(stderr=True)) as view:
        job = plan_job(call.options.output, call.options.input, config, call.cluster.device, view.hear)
    _check_device(call, job)
    if call.options.max_rejects is None and not any(receipt.counts["documents"] for receipt in job.receipts):
        require_documents(job.pending, job.config.read)
    return job


def _finish(call: Call, job: Job) -> int:
    try:
        return _annotate(call, job, open_console(), open_console(stderr=True))
    except KeyboardInterrupt:
        if call.runs_here:
            job.store.clear_attempts()
        tell(NAME, "Stopped. What is committed stays; the same command goes on from there.")
    except (DriverError, DatasetInUseError, StoreError, OSError, ValueError) as error:
        tell(NAME, explain(error))
    return INCOMPLETE


def _annotate(call: Call, job: Job, out: Console, err: Console) -> int:
    if job.is_finished:
        out.print("Nothing to do: every input is annotated already.")
        return draw_report(call, job, {}, None, out)
    job = open_job(job)
    set_aside: Mapping[Shard, str] = {}
    rate: float | None = None
    if job.pending:
        set_aside, rate = (_run_locally if call.runner is None else _run_on_beam)(call, job, err)
    return draw_report(call, close_job(job), set_aside, rate, out)


def _resolve_config(options: argparse.Namespace) -> AnnotateConfig:
    tasks = list_tasks(options) if options.tasks is None else parse_tasks(options.tasks)
    config = to_config(options, options.input_format or infer_format(options.input), tasks)
    return dataclasses.replace(
        config, splitter_version=splitter_version(config.splitter), model=resolve_models(config.model)
    )


def list_tasks(options: argparse.Namespace) -> tuple[str, ...]:
    """List the tasks to run where none are named: those of the model, and those with a model of their own.

    Args:
      options: a namespace with the attributes that `add_model_arguments` names.
    """
    folder = resolve_folder(options.model)
    has = TASKS if folder is None else ModelSpec.load(folder).tasks
    return tuple(task for task in TASKS if task in has or getattr(options, f"{task}_model"))


def _check_device(call: Call, job: Job) -> None:
    """Refuse a GPU that is not there before anything runs; on other machines only their own processes can tell."""
    if call.cluster.device == "cuda" and call.runs_here:
        from klue_beam.transforms.models.nets.precision import choose_device  # noqa: PLC0415  torch takes seconds to import

        choose_device(call.cluster.device, job.config.model.precision)


class _ShardObserver:
    """Brings what the local driver tells to the screen."""

    def __init__(self, progress: JobProgress, meter: AmountMeter, view: ProgressView) -> None:
        self._progress, self._meter = progress, meter
        self.start_attempt = progress.start_attempt
        self.tick = view.refresh
        self.say = view.say

    def hear(self, event: Mapping[str, float]) -> None:
        self._progress.hear(event)
        self._meter.hear(event)


def _run_locally(call: Call, job: Job, console: Console) -> tuple[dict[Shard, str], float]:
    """Run the pending shards; give those that were set aside with the reason, and the sentences a second."""
    here = (call.beam_flags, call.cluster.threads, call.cluster.device)
    shard_job = ShardJob(job.dataset, job.config, job.plan.config_hash, *here)
    progress = JobProgress(before=Counts.of_receipts(job.receipts))
    with AmountMeter(job.plan, job.receipts) as meter, ProgressView(console, progress, meter.total, meter.unit) as view:
        set_aside = run_on_dask(call.cluster, job.pending, shard_job, _ShardObserver(progress, meter, view))
    return set_aside, progress.average_rate()


def _run_on_beam(call: Call, job: Job, console: Console) -> tuple[dict[Shard, str], None]:
    """Run the same graph on the Beam runner that was named."""
    import apache_beam as beam  # noqa: PLC0415  it takes seconds to import, and the local driver does without
    from apache_beam.options.pipeline_options import StandardOptions  # noqa: PLC0415
    from apache_beam.runners.runner import PipelineState  # noqa: PLC0415

    from klue_beam.beam_pipelines.commands.beam import AnnotateOptions  # noqa: PLC0415
    from klue_beam.beam_pipelines.graphs.dataset import build  # noqa: PLC0415  torch takes seconds to import

    logging.getLogger("apache_beam").setLevel(logging.INFO)  # the job's name and where to watch it
    parser = argparse.ArgumentParser(add_help=False)
    add_dataset_arguments(parser)
    dataset_options = {name: getattr(call.options, name) for name in vars(parser.parse_args([]))}
    options = AnnotateOptions(list(call.beam_flags), **dataset_options)
    pipeline = beam.Pipeline(options=options)
    here = (call.cluster.threads, call.cluster.device)
    build(pipeline, job.pending, job.config, job.plan.config_hash, job.dataset, *here)
    try:
        result = pipeline.run()
        if not options.view_as(StandardOptions).no_wait_until_finish:
            state = result.wait_until_finish()
            if state not in (None, PipelineState.DONE):
                console.print(f"{call.runner} ended the job as {state}.")
    except Exception:  # whatever a runner raises: what it left undone is found and reported by the receipts
        logging.getLogger(__name__).exception("%s failed", call.runner)
    return {}, None
