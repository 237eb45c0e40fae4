"""Beam's own options beside a command's: checked, since Beam passes over those that it does not know."""

import argparse
import contextlib
import importlib
from collections.abc import Iterable, Sequence

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner

from klue_beam.beam_pipelines.commands.base import suggest
from klue_beam.beam_pipelines.commands.options import add_dataset_arguments


class AnnotateOptions(PipelineOptions):
    """What decides the rows of a dataset, as options of the pipeline, so that a runner shows them with its job."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add_dataset_arguments(parser)


class _FlagParser(argparse.ArgumentParser):
    """Takes the options that Beam's classes declare, those too that get their value when a template is run."""

    add_value_provider_argument = argparse.ArgumentParser.add_argument


def check_beam_flags(flags: Sequence[str], command: str, known_options: Iterable[str]) -> None:
    """Check what the command's own parser did not know against all that Beam knows.

    Beam itself passes over an option that it does not know.

    Args:
      flags: options and values.
      command: which took them.
      known_options: the command's own options, to suggest from.

    Raises:
      ValueError: if Beam does not know one either, or its runner.
    """
    parser = _FlagParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
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
        remedy = suggest(unknown[0].split("=")[0], known, f"`klue-beam {command} --help` lists them.")
        raise ValueError(f"Every option must be one of klue-beam's or of Beam's, got {' '.join(unknown)!r}. {remedy}")


def runner_of(flags: Sequence[str]) -> str | None:
    """Tell which runner Beam's options name."""
    name: str | None = PipelineOptions(list(flags)).view_as(StandardOptions).runner
    return name
