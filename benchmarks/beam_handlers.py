"""Beam's handler of Hugging Face pipelines, where TensorFlow is not installed and transformers has left it behind."""

import contextlib
import sys
import types
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from typing import Any

from transformers import pipeline  # noqa: F401  (loaded first: while it loads, transformers looks for TensorFlow)


def load_handler_class() -> Any:
    """Give Beam's `HuggingFacePipelineModelHandler`, unchanged.

    Its module (Beam 2.77) imports TensorFlow, and TFAutoModel, which transformers 5 has no more. This handler uses
    neither; where they are missing, empty classes stand in for them while it is imported.
    """
    with contextlib.ExitStack() as stack:
        if not hasattr(sys.modules["transformers"], "TFAutoModel"):
            stack.enter_context(_stand_ins())
        from apache_beam.ml.inference import huggingface_inference  # noqa: PLC0415
    return huggingface_inference.HuggingFacePipelineModelHandler


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    # transformers puts another module in its own place while it loads: the one that was imported may be no longer it.
    transformers: Any = sys.modules["transformers"]
    tensorflow: Any = types.ModuleType("tensorflow")
    tensorflow.Tensor = type("Tensor", (), {})
    tensorflow.__spec__ = ModuleSpec("tensorflow", None)
    lent = "tensorflow" not in sys.modules
    sys.modules.setdefault("tensorflow", tensorflow)
    transformers.TFAutoModel = type("TFAutoModel", (), {})
    try:
        yield
    finally:
        del transformers.TFAutoModel
        if lent:
            del sys.modules["tensorflow"]
