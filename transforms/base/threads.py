"""How many threads a process computes with."""

import os


def set_thread_variables(threads: int) -> None:
    """Set what libraries read when they are loaded, here and in the processes that inherit it.

    More threads than cores spin against each other: tens of times slower was seen.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"


def use_threads(threads: int) -> None:
    """Keep this process, and those that it starts, to so many threads of arithmetic and of tokenising."""
    import torch  # noqa: PLC0415  the driver's own process, which sets the variables alone, never needs it

    set_thread_variables(threads)
    torch.set_num_threads(threads)
