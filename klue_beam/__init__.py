"""klue-beam: annotate Korean text with the KLUE tasks. The public names; each is imported when it is first used."""

import importlib
from typing import Any, Final

_HOME: Final = {
    "AnnotateConfig": "schemas.config",
    "ModelConfig": "schemas.config",
    "ReadConfig": "schemas.config",
    "Annotate": "transforms.annotate.sentences",
    "ClassifyTopics": "transforms.annotate.sentences",
    "ExtractRelations": "transforms.annotate.sentences",
    "ParseDependencies": "transforms.annotate.sentences",
    "RecognizeEntities": "transforms.annotate.sentences",
    "ReadShards": "transforms.read.shards",
    "SplitSentences": "transforms.split.sentences",
    "WriteAnnotations": "transforms.write.sink",
    "export": "transforms.export.base",
    "load_splitter": "transforms.split.sentences",
    "open_dataset": "transforms.plan.dataset",
    "verify": "transforms.verify.dataset",
}
"""Where each public name is defined."""

__all__ = sorted(_HOME)  # noqa: PLE0605  names that are imported late


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name not in _HOME:
        raise AttributeError(f"module 'klue_beam' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"klue_beam.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
