"""How near an encoder comes to what the core can do: its tokens a second against bare products of matrices.

    python -m benchmarks.limit --input TEXTS --model small

For each precision, on one thread: the rate of one bare product of the encoder's largest shape, its inputs at hand in
the form that the kernel takes; the tokens a second that the encoder would reach if it did nothing but its linear layers
at that rate; and those that it reaches over real sentences, batched by length, padding not counted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from torch import nn

from benchmarks.report import describe_processor, new_table, run_in_folder
from benchmarks.samples import add_input_arguments, sample_sentences
from benchmarks.timing import time_call, use_one_thread
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.folders import resolve_folder
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.engine.engine import encode_plain
from klue_beam.transforms.models.nets.linear import PackedLinear, can_pack
from klue_beam.transforms.models.nets.precision import apply_precision
from klue_beam.transforms.models.text.batching import batch_by_length, count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.training.forward import encode_batch, run_encoder

TOKENS: Final = 2048
"""Tokens of the bare product, and of a batch."""

REPEATS: Final = 20


def best_seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Time a call, the least processor time of several: what else the machine does only adds."""
    return min(time_call(work)[1].cpu for _ in range(repeats))


def make_product(linear: nn.Linear, precision: str) -> Callable[[], Any]:
    """Prepare one product of a layer with TOKENS rows, as bare as its kernel is.

    Args:
      linear: fp32.
      precision: fp32 or bf16, through oneDNN; int8, through oneDNN's kernel of unsigned inputs.
    """
    n_out, n_in = linear.weight.shape
    if precision != "int8":
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        packed = PackedLinear(linear, dtype, out_dtype=dtype)
        rows = torch.randn(TOKENS, n_in).to(dtype)
        return lambda: packed(rows)
    weight = torch.randint(-127, 128, (n_out, n_in), dtype=torch.int8)
    laid = torch.ops.onednn.qlinear_prepack(weight, [TOKENS, n_in])
    scale, zeros = torch.ones(n_out), torch.zeros(n_out, dtype=torch.int32)
    inputs = torch.randint(0, 256, (TOKENS, n_in), dtype=torch.uint8)
    return lambda: torch.ops.onednn.qlinear_pointwise(
        inputs, 1.0, 128, laid, scale, zeros, None, 1.0, 0, torch.float32, "none", [], "none"
    )


def linear_flops_per_token(encoder: nn.Module) -> int:
    """Count the multiplications and additions of an encoder's linear layers for one token."""
    return sum(2 * layer.weight.numel() for layer in encoder.modules() if isinstance(layer, nn.Linear))


def tokens_per_second(model: MultiTaskModel, tokenizer: TextTokenizer, texts: Sequence[str]) -> float:
    """Run the encoder over texts, batched as the engine batches them; the best of three times, after one to warm up."""
    lengths = tokenizer.encode(texts).pieces.lengths + tokenizer.n_special
    batches = [encode_batch([texts[i] for i in index], tokenizer)[1] for index in batch_by_length(lengths, TOKENS)]

    def run() -> None:
        for inputs in batches:
            run_encoder(model, inputs)

    run()
    return float(lengths.sum()) / best_seconds(run, repeats=3)


def measure(call: argparse.Namespace, folder: Path, console: Console) -> None:  # noqa: ARG001 - as run_in_folder calls
    """Measure every precision that this processor has, and print the table."""
    where = resolve_folder(call.model)
    if where is None:
        raise ValueError(f"`--model` must be a multi-task model, got {call.model!r}. Give a name or a folder.")
    texts = sample_sentences(call.input, call.sentences).column("text").to_pylist()
    table = new_table("precision", "bare product, GFLOP/s", "limit, tokens/s", "encoder, tokens/s", "share of it, %")
    for precision in [form for form in ("fp32", "bf16") if can_pack(form)] + ["int8"]:
        model, tokenizer = load_model(where)
        flops = linear_flops_per_token(model.encoder)
        largest = max(
            (layer for layer in model.encoder.modules() if isinstance(layer, nn.Linear)), key=lambda x: x.weight.numel()
        )
        with torch.inference_mode():
            product = make_product(largest, precision)
            product()
            rate = 2 * TOKENS * largest.weight.numel() / best_seconds(product)
            plain = encode_plain(tokenizer, count_max_pieces(model.encoder, tokenizer))
            model = apply_precision(model, precision, ["encoder"], plain=plain)
            reached = tokens_per_second(model, tokenizer, texts)
        limit = rate / flops
        table.add_row(
            precision, f"{rate / 1e9:,.0f}", f"{limit:,.0f}", f"{reached:,.0f}", f"{100 * reached / limit:.0f}"
        )
    console.print(
        f"{len(texts)} sentences of {call.input}, {call.model}: {flops / 1e6:.1f} MFLOP a token in linear layers, one "
        f"thread, {describe_processor()}\n"
    )
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of this module; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_input_arguments(parser, 400)
    parser.add_argument("--model", default="small", metavar="NAME", help="multi-task model (default: %(default)s).")
    call = parser.parse_args(arguments)
    use_one_thread()
    return run_in_folder("limit", lambda folder, console: measure(call, folder, console))


if __name__ == "__main__":
    sys.exit(main())
