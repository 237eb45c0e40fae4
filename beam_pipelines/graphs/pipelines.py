"""The one way in which klue-beam makes a pipeline of its own."""

from collections.abc import Sequence
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

IN_MEMORY: Final = ("--direct_running_mode=in_memory", "--direct_num_workers=1")


def make_pipeline(flags: Sequence[str] = ()) -> beam.Pipeline:
    """Give an empty pipeline on the runner that Beam's options name, or in this process, in memory, if they name none.

    Beam's own default for that changes with what is installed.

    Args:
      flags: options of Beam.
    """
    options = PipelineOptions(list(flags))
    if options.view_as(StandardOptions).runner:
        return beam.Pipeline(options=options)
    return beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([*flags, *IN_MEMORY]))
