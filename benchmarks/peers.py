"""Compare klue-beam with what a user would write without it; ratios of one run, one thread.

    python -m benchmarks.peers --input TEXTS --model checkpoints
    python -m benchmarks.peers --input TEXTS --model small --peer_size small
    python -m benchmarks.peers --input TEXTS --model small --peer_size base

Peers are (a) `transformers.pipeline` over all sentences, batch_size 32, for TC, NER and RE, with a plain forward in
batches of 32 for DP, (b) Beam's `RunInference` with its Hugging Face handlers on the runner that `klue-beam annotate`
uses, and (c) datatrove, each pipeline a step of its own. All models of the peers are random checkpoints made on the
spot: speed does not depend on training.

All sides do the same work. RE is asked about the same pairs, at most two a sentence: those that the multi-task model
finds (with `--model checkpoints`, those of the embedded `small`). Peers get the marked sentences ready made, and of DP
they run the encoder only, without a head or a tree: what klue-beam does more is in its time.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.peer_datatrove import run_datatrove
from benchmarks.peer_sides import (
    Outcome,
    run_inference_graph,
    run_klue_beam,
    run_klue_beam_graph,
    run_pipelines,
)
from benchmarks.peer_work import Work, plan_passes, prepare_work
from benchmarks.random_checkpoints import SIZES, make_checkpoints
from benchmarks.report import describe_processor, new_table, run_in_folder
from benchmarks.samples import add_input_arguments, count_characters, sample_sentences
from benchmarks.timing import use_one_thread
from klue_beam.schemas.config import PRECISIONS, ModelConfig
from klue_beam.schemas.registry import TASKS

CHECKPOINTS = "checkpoints"
PEERS = ("pipeline", "beam", "datatrove")
Side = tuple[str, Callable[[], Outcome]]


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_input_arguments(parser, 256)
    parser.add_argument(
        "--model",
        default=CHECKPOINTS,
        metavar="NAME",
        help="what klue-beam runs: `checkpoints` for four checkpoints of their own, the very ones of the peers, or a "
        "multi-task model by name or folder (default: %(default)s).",
    )
    parser.add_argument(
        "--peer_size",
        choices=SIZES,
        default="base",
        help="the encoders of the peers: base (12 layers, 768, as KLUE-BERT), small (12 layers, 384, as the embedded "
        "small), or mini to try the command (default: %(default)s).",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=ModelConfig().precision,
        help="of klue-beam's side; the peers run fp32, as they come (default: %(default)s).",
    )
    parser.add_argument(
        "--against", nargs="+", choices=PEERS, default=PEERS, help="which of (a), (b) and (c) (default: all three)."
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=1,
        metavar="N",
        help="every side runs so often, in turn; the quickest counts (default: %(default)s).",
    )
    return parser


def run_sides(sides: Sequence[Side], rounds: int) -> list[Outcome]:
    """Run the sides in turn; give the quickest run of each, by the time that it had a core."""
    runs = [[run() for _, run in sides] for _ in range(rounds)]
    return [min(of_side, key=lambda outcome: outcome.spent.cpu) for of_side in zip(*runs, strict=True)]


def print_sides(console: Console, work: Work, sides: Sequence[Side], outcomes: Sequence[Outcome]) -> None:
    """Print what the sides took, and their ratio; the first is klue-beam, the second its peer."""
    table = new_table("", "start-up, s", "seconds", "CPU seconds", "sentences/s", "ratio", "ratio of CPU time")
    for (name, _), outcome in zip(sides, outcomes, strict=True):
        ratio = outcome.spent.ratio_to(outcomes[0].spent)
        rate = work.rows.num_rows / outcome.spent.wall
        table.add_row(name, f"{outcome.startup.wall:.1f}", f"{outcome.spent.wall:.2f}", f"{outcome.spent.cpu:.2f}",
                      f"{rate:,.1f}", f"{ratio.wall:.2f}", f"{ratio.cpu:.2f}")  # fmt: skip
    console.print(table)
    ratio = outcomes[1].spent.ratio_to(outcomes[0].spent)
    console.print(f"{sides[0][0]} is {ratio.wall:.1f} times as fast as {sides[1][0]} "
                  f"({ratio.cpu:.1f} times by CPU time)\n")  # fmt: skip


def require_whole(work: Work, sides: Sequence[Side], outcomes: Sequence[Outcome], passes: int) -> None:
    """Refuse to compare sides of which one left something out.

    Raises:
      RuntimeError: if a side gave more or fewer results than the work asks for.
    """
    sentences = work.rows.num_rows
    asked = (passes * sentences, (len(TASKS) - 1) * sentences + len(work.marked))
    for (name, _), outcome, n_results in zip(sides, outcomes, asked, strict=True):
        if outcome.results != n_results:
            raise RuntimeError(f"{name} must give {n_results} results, got {outcome.results}. The ratio means nothing.")


def compare(call: argparse.Namespace, folder: Path, console: Console) -> None:
    """Prepare the work, run what was asked for, and print it."""
    checkpoints = make_checkpoints(folder, SIZES[call.peer_size])
    own = call.model == CHECKPOINTS
    work = prepare_work(sample_sentences(call.input, call.sentences), "small" if own else call.model, call.precision)
    models = checkpoints.models if own else dict.fromkeys(TASKS, call.model)
    passes = plan_passes(work, models, call.precision)
    console.print(
        f"{work.rows.num_rows} sentences of {call.input}, {len(set(work.texts))} of them distinct, "
        f"{count_characters(work.rows)} characters, {len(work.marked)} pairs (the same on every side, at most two a "
        f"sentence), {work.unknown:.2%} of the tokens unknown, one thread, peers of size {call.peer_size} in fp32, "
        f"{describe_processor()}\n"
    )
    ours = f"klue-beam, {call.model}, {call.precision}"
    against: dict[str, tuple[Side, Side]] = {
        "pipeline": (
            (ours, lambda: run_klue_beam(passes)),
            ("transformers.pipeline, batch_size 32", lambda: run_pipelines(work, checkpoints)),
        ),
        "beam": (
            (f"{ours}, on Beam", lambda: run_klue_beam_graph(passes)),
            ("Beam RunInference, Hugging Face handlers", lambda: run_inference_graph(work, checkpoints)),
        ),
        "datatrove": (
            (ours, lambda: run_klue_beam(passes)),
            ("datatrove, steps of transformers.pipeline", lambda: run_datatrove(work, checkpoints, folder)),
        ),
    }
    for name in call.against:
        outcomes = run_sides(against[name], call.rounds)
        require_whole(work, against[name], outcomes, len(passes))
        print_sides(console, work, against[name], outcomes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of this module; gives the exit code."""
    call = make_parser().parse_args(arguments)
    use_one_thread()
    return run_in_folder("peers", lambda folder, console: compare(call, folder, console))


if __name__ == "__main__":
    sys.exit(main())
