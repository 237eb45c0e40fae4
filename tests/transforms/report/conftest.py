"""A dataset of a real run."""

from tests.beam_pipelines.conftest import corpus, undisturbed

__all__ = ["corpus", "undisturbed"]
