"""`python -m beam_pipelines.topic_data`: sentences of documents with their documents' topics, to train topics on."""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from beam_pipelines.options import format_of
from transforms.config import DEVICES, ReadConfig
from transforms.formats.klue import TopicExample
from transforms.models.checkpoint import load_model
from transforms.models.folders import resolve_folder
from transforms.models.precision import choose_device
from transforms.models.training.objectives import TopicObjective, run_objective
from transforms.models.training.texts import read_texts
from transforms.models.training.topic_rows import make_document_rows, make_plain_rows, save_topic_rows
from transforms.split import load_splitter

_BLOCK = 64


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.topic_data",
        description="Let a model read documents whose first line is a title, and write their sentences with the topics "
        "of the whole document for `train --data tc_bodies`; and texts without a topic.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="small", help="reads the documents; a final stop is taken away before")
    add("--text", nargs="+", required=True, metavar="FILE", help="documents")
    add(
        "--share",
        type=float,
        default=0.6,
        help="of the documents, by a hash; the others are to measure on",
    )
    add("--max_sentences", type=int, default=10, help="of a document")
    add("--most", type=int, default=150, help="documents of one topic")
    add("--plain", type=int, default=2000, help="texts without a topic")
    add("--output", required=True, help="the file of rows")
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="of the model")
    add("--device", choices=DEVICES, default="auto", help="where it runs")
    add("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    add("--seed", type=int, default=1, help="of what is drawn")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is 0 when done, 2 for a wrong call."""
    args = build_parser().parse_args(argv)
    try:
        _run(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def is_to_train_on(document: str, share: float) -> bool:
    """Tell whether a document is among those to train on: the same whatever else there is."""
    digest = hashlib.sha256(f"klue-beam-topics-1\n{document}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    folder = resolve_folder(args.model)
    if folder is None:
        raise ValueError(f"`--model` must be an embedded model or a model folder, got {args.model!r}. Check the path.")
    model, tokenizer = load_model(folder)
    model.to(choose_device(args.device, args.precision))
    topics = model.spec.topics
    documents = list(_list_sentences(args))
    order = np.random.default_rng(args.seed).permutation(len(documents))
    documents = [documents[i] for i in order]
    flat = [sentence.rstrip(" .") or sentence for sentences in documents for sentence in sentences]
    order = np.argsort([len(sentence) for sentence in flat], kind="stable")
    logs = np.zeros((len(flat), len(topics)))
    objective = TopicObjective("tc", [TopicExample("", sentence, topics[0]) for sentence in flat], topics)
    device = next(model.parameters()).device.type
    for begin in range(0, len(order), _BLOCK):
        part = order[begin : begin + _BLOCK]
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            logits = run_objective(objective, model, tokenizer, part)["tc"].logits
        logs[part] = torch.log_softmax(logits, -1).double().cpu().numpy()
    bounds = np.cumsum([len(sentences) for sentences in documents])[:-1]
    rows = make_document_rows(zip(documents, np.split(logs, bounds), strict=True), topics, most=args.most)
    best = [max(row.goal, key=lambda topic: row.goal[topic]) for row in rows]
    print({topic: best.count(topic) for topic in topics}, "sentences by the likeliest topic of their document")
    rows += make_plain_rows(args.plain, args.seed)
    save_topic_rows(Path(args.output), rows)
    print(f"{len(documents):,} documents, {len(rows):,} rows")


def _list_sentences(args: argparse.Namespace) -> Iterator[list[str]]:
    """List the title and some sentences of each document."""
    random = np.random.default_rng(args.seed)
    split = load_splitter("fast")
    for path in args.text:
        for text in read_texts([path], ReadConfig(input_format=format_of(path) or "text")):
            title, _, body = text.partition("\n")
            if not is_to_train_on(text, args.share) or not 6 <= len(title) <= 80:
                continue
            spans = split(body)
            sentences = [one for begin, end in spans if 15 <= len(one := body[begin:end].strip()) <= 200]
            kept = np.sort(random.permutation(len(sentences))[: args.max_sentences])
            yield [title.strip(), *(sentences[i] for i in kept)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
