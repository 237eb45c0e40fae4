"""Pre-training of an encoder on plain texts: masked pieces, and the sentence that an earlier encoder made of them.

Half of the passages lose whole words, the others single pieces. What is hidden becomes the token that the encoder's
tokenizer has for that (`TextTokenizer.hidden_id`), some of it another piece, and some of it stays. The output layer is
tied to the embeddings and computed where something was hidden only.

The encoder that a run begins with knows more of sentences than masked pieces teach. So that it is not forgotten, the
mean of a passage's states is kept near what that encoder made of the whole passage, through a linear map of its own.

References: Devlin et al., 2019, "BERT"; Cui et al., 2019, "Pre-Training with Whole Word Masking",
https://arxiv.org/abs/1906.08101; Gururangan et al., 2020, "Don't Stop Pretraining", https://arxiv.org/abs/2004.10964;
Hu et al., 2024, "MiniCPM" (warm-up, plateau, decay), https://arxiv.org/abs/2404.06395
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import ACT2FN

from transforms.codepoints import Bools, Ints
from transforms.config import require
from transforms.models.pieces import TextTokenizer
from transforms.models.training.corpus import Corpus, word_starts

STATE_FILE: Final = "pretraining_state.pt"
LOG_FILE: Final = "pretraining_log.jsonl"
TARGETS_FILE: Final = "targets.npy"
_IGNORE: Final = -100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """How to pre-train.

    Attributes:
      passes: over each source's passages in one round, by name (default 1); a fraction takes a part, another each
        round.
      rounds: how many.
      batch_tokens: tokens of one forward pass.
      accumulate: passes whose gradients make a step.
      rate: peak learning rate.
      warmup_steps: steps with a rising rate.
      decay_share: the last share of the steps, in which the rate falls to nothing; before, it stays at its peak.
      weight_decay: as in AdamW.
      hidden_share: of the pieces that are to be found again.
      sentence_weight: of the loss that keeps means of states; 0 for none.
      bf16: run forward and backward under bf16 autocast.
      seed: of order and hiding.
      checkpoint_seconds: seconds between checkpoints.
      evaluate_steps: steps between losses on what is held out.
    """

    passes: Mapping[str, float]
    rounds: float = 1.0
    batch_tokens: int = 2048
    accumulate: int = 4
    rate: float = 2e-4
    warmup_steps: int = 300
    decay_share: float = 0.2
    weight_decay: float = 0.01
    hidden_share: float = 0.2
    sentence_weight: float = 1.0
    bf16: bool = False
    seed: int = 1
    checkpoint_seconds: float = 420.0
    evaluate_steps: int = 150

    def __post_init__(self) -> None:
        for name in ("rounds", "batch_tokens", "accumulate", "rate", "evaluate_steps"):
            value = getattr(self, name)
            require(value > 0, f"`{name}` must be above 0", value, "Leave it out for the default.")
        require(0 < self.hidden_share < 1, "`hidden_share` must be between 0 and 1", self.hidden_share, "Give 0.2.")
        require(0 <= self.decay_share <= 1, "`decay_share` must be from 0 to 1", self.decay_share, "Give 0.2.")


class PassageBatch(NamedTuple):
    """Passages laid out for the encoder.

    Attributes:
      input_ids: with pieces hidden, special tokens around, padded. Shape: (B, L).
      mask: True for a token. Shape: (B, L).
      positions: where something is to be found, in the flat batch. Shape: (n_hidden,).
      labels: what. Shape: (n_hidden,).
      passages: numbers in the corpus. Shape: (B,).
    """

    input_ids: Ints
    mask: Bools
    positions: Ints
    labels: Ints
    passages: Ints


class MaskedLanguageModel(nn.Module):
    """An encoder with an output layer over its vocabulary and a map to an earlier encoder's means.

    Args:
      encoder: a Hugging Face encoder whose embeddings are as wide as its states.
      target_size: width of the earlier encoder's states; 0 for no such map.
    """

    def __init__(self, encoder: Any, target_size: int = 0) -> None:
        super().__init__()
        size = encoder.config.hidden_size
        self.encoder: Any = encoder
        self.transform = nn.Linear(size, size)
        self.act: Any = ACT2FN[encoder.config.hidden_act]
        self.norm = nn.LayerNorm(size, eps=encoder.config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(encoder.get_input_embeddings().num_embeddings))
        self.sentence = nn.Linear(size, target_size) if target_size else None

    def forward(self, input_ids: Tensor, mask: Tensor | None, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Score the vocabulary at some positions, and give the last states.

        Args:
          input_ids: Shape: (B, L).
          mask: None where nothing is padded. Shape: (B, L).
          positions: in the flat batch. Shape: (n,).

        Returns:
          Shapes: (n, n_ids) and (B, L, H).
        """
        states = self.encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state
        asked = self.norm(self.act(self.transform(states.flatten(0, 1)[positions])))
        return functional.linear(asked, self.encoder.get_input_embeddings().weight, self.bias), states


def mean_states(states: Tensor, mask: Tensor | None) -> Tensor:
    """Average states over tokens. Shapes: (B, L, H), (B, L) to (B, H), fp32."""
    if mask is None:
        return states.float().mean(1)
    weights = mask.unsqueeze(-1).float()
    return (states.float() * weights).sum(1) / weights.sum(1).clamp(min=1)


def without_dropout(encoder: Any) -> None:
    """Take an encoder's dropout away: texts are many, and passes over them few."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def choose_hidden(groups: Ints, offsets: Ints, share: float, random: np.random.Generator) -> Bools:
    """Choose whole groups of pieces at random until a share of each passage is reached.

    Args:
      groups: number of the group that each piece is of, ascending from 0. Shape: (n,).
      offsets: where each passage begins; groups do not cross them. Shape: (n_passages + 1,).
      share: of the pieces; at least one of a passage is chosen.
      random: the generator.

    Returns:
      Shape: (n,).

    >>> choose_hidden(np.array([0, 0, 1, 2, 2]), np.array([0, 3, 5]), 0.3, np.random.default_rng(4)).tolist()
    [False, False, True, True, True]
    """
    sizes = np.bincount(groups)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    passage = np.searchsorted(offsets, first, side="right") - 1
    order = np.lexsort((random.random(len(sizes)), passage))
    before = np.cumsum(sizes[order]) - sizes[order]
    wanted = np.maximum(1, np.round(np.diff(offsets) * share))[passage[order]]
    # The last group that is begun may overshoot: it is taken as often as makes the share right in the mean.
    missing = wanted - (before - offsets[passage[order]])
    chosen = np.zeros(len(sizes), dtype=np.bool_)
    chosen[order] = missing > random.random(len(sizes)) * (sizes[order] - 1)
    # A passage without any gets the first of its order.
    is_bare = np.bincount(passage[chosen], minlength=len(offsets) - 1) == 0
    chosen[order[(before == offsets[passage[order]]) & is_bare[passage[order]]]] = True
    return np.asarray(chosen[groups])


def lay_out(
    corpus: Corpus,
    passages: Ints,
    tokenizer: TextTokenizer,
    starts: Bools,
    hidden_share: float,
    random: np.random.Generator,
) -> PassageBatch:
    """Hide pieces of passages and pad them. Shape of passages: (B,).

    Args:
      corpus: the passages.
      passages: their numbers.
      tokenizer: the encoder's.
      starts: `word_starts`.
      hidden_share: of the pieces.
      random: the generator.
    """
    lengths = corpus.lengths[passages]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.repeat(np.arange(len(passages)), lengths)
    columns = np.arange(offsets[-1]) - offsets[rows]
    ids = corpus.ids[np.repeat(corpus.offsets[passages], lengths) + columns].astype(np.int64)
    in_words = random.random(len(passages)) < 0.5
    is_first = (columns == 0) | ~in_words[rows] | starts[ids]
    hidden = choose_hidden(np.cumsum(is_first) - 1, offsets, hidden_share, random)
    fate = random.random(len(ids))
    shown = np.where(hidden & (fate < 0.8), tokenizer.hidden_id, ids)
    others = random.integers(len(tokenizer.tokenizer), size=len(ids))
    others = np.where(np.isin(others, tokenizer.tokenizer.all_special_ids), ids, others)
    shown = np.where(hidden & (fate >= 0.9), others, shown)
    n_before, n_after = len(tokenizer.prefix), len(tokenizer.suffix)
    width = int(lengths.max()) + tokenizer.n_special
    input_ids = np.full((len(passages), width), tokenizer.pad_id, dtype=np.int64)
    input_ids[:, :n_before] = tokenizer.prefix
    input_ids[rows, columns + n_before] = shown
    for i in range(n_after):
        input_ids[np.arange(len(passages)), lengths + n_before + i] = tokenizer.suffix[i]
    mask = np.arange(width) < (lengths + tokenizer.n_special)[:, None]
    positions = rows[hidden] * width + columns[hidden] + n_before
    return PassageBatch(input_ids, mask, positions, ids[hidden], passages)


def plan_round(corpus: Corpus, config: PretrainConfig, number: int, n_special: int) -> list[Ints]:
    """Lay out the batches of a round, in their order. Shape of each: (batch_size,)."""
    random = np.random.default_rng([config.seed, number])
    chosen = []
    for source, name in enumerate(corpus.names):
        wanted = config.passes.get(name, 1.0)
        usable = np.flatnonzero((corpus.source == source) & ~corpus.held_out & (corpus.lengths > 0))
        # The same order in each round, begun where the round before ended: parts of a source do not come twice early.
        usable = np.random.default_rng([config.seed, source]).permutation(usable)
        count = math.floor(len(usable) * wanted)
        begin = math.floor(len(usable) * wanted * number)
        chosen.append(np.take(usable, np.arange(begin, begin + count), mode="wrap") if count else usable[:0])
    passages = np.concatenate(chosen)
    lengths = corpus.lengths[passages] + n_special
    order = np.argsort(lengths * random.uniform(0.97, 1.03, len(lengths)), kind="stable")
    batches = []
    begin, widest = 0, 0
    for i, length in enumerate(lengths[order]):
        widest = max(widest, int(length))
        if i > begin and widest * (i + 1 - begin) > config.batch_tokens:
            batches.append(passages[order[begin:i]])
            begin, widest = i, int(length)
    batches.append(passages[order[begin:]])
    return [batches[i] for i in random.permutation(len(batches))]


def rate_share(step: int, n_steps: int, warmup_steps: int, decay_share: float) -> float:
    """Give the share of the peak rate at a step: linear up, level, linear down.

    >>> [round(rate_share(step, 10, 2, 0.4), 3) for step in (0, 1, 5, 6, 8, 9)]
    [0.5, 1.0, 1.0, 1.0, 0.5, 0.25]
    """
    decay_steps = n_steps * decay_share
    down = (n_steps - step) / decay_steps if decay_steps else 1.0
    return min(1.0, (step + 1) / max(1, warmup_steps), down)


class Pretrainer:
    """A run: its model, optimizer, place, and loss on what is held out.

    Args:
      model: on its device.
      tokenizer: the encoder's.
      corpus: the passages.
      config: how.
      folder: checkpoint and log go here.
      targets: what an earlier encoder made of the passages, standardised; rows of NaN for those it did not read.
        Shape: (n_passages, target_size).
    """

    def __init__(
        self,
        model: MaskedLanguageModel,
        tokenizer: TextTokenizer,
        corpus: Corpus,
        config: PretrainConfig,
        folder: Path,
        targets: npt.NDArray[np.float16] | None = None,
    ) -> None:
        require(
            (targets is not None) == (model.sentence is not None),
            "`targets` must be given if, and only if, the model has a map to them",
            targets is not None,
            "Give `target_size` to the model.",
        )
        self.model, self.tokenizer, self.corpus, self.config, self.folder = model, tokenizer, corpus, config, folder
        self.targets = targets
        self.starts = word_starts(tokenizer)
        self.device = next(model.parameters()).device
        decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
        others = [parameter for parameter in model.parameters() if parameter.dim() < 2]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), fused=True)
        rounds = range(math.ceil(config.rounds))
        sizes = [len(plan_round(corpus, config, number, tokenizer.n_special)) // config.accumulate for number in rounds]
        self.round_steps = sizes
        self.n_steps = round(sum(sizes) * config.rounds / len(sizes))
        self.step = 0
        self.tokens = 0

    def resume(self, start: Path | None = None) -> None:
        """Go on from the folder's checkpoint; where there is none, from another run's, on this run's schedule.

        Raises:
          ValueError: if the checkpoint is of a run on other passages or with another order.
        """
        own = self.folder / STATE_FILE
        path = own if own.exists() or start is None else start
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location="cpu")
        require(
            state["order"] == self._order(),
            "A run must go on with the texts, passes, batches and seed that it began with",
            str(path),
            "Give another folder to begin anew.",
        )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens = int(state["step"]), int(state["tokens"])

    def _order(self) -> str:
        config = self.config
        told = [sorted(config.passes.items()), config.batch_tokens, config.accumulate, config.seed]
        return json.dumps([told, len(self.corpus.ids), len(self.corpus.source), self.corpus.names])

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "order": self._order(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
        }
        fresh = self.folder / f"new-{STATE_FILE}"
        torch.save(state, fresh)
        fresh.replace(self.folder / STATE_FILE)

    def run(self, on_report: Callable[[dict[str, Any]], None] = lambda _: None, stop_after: int | None = None) -> bool:
        """Train to the end, or so many steps of this call; tell whether the end is reached."""
        self.folder.mkdir(parents=True, exist_ok=True)
        saved = began = time.monotonic()
        first, first_tokens = self.step, self.tokens
        sums: list[tuple[float, float]] = []
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            for batches in self._steps():
                if stop_after is not None and self.step - first >= stop_after:
                    self.save()
                    return False
                sums.append(self._step(batches))
                if self.step % self.config.evaluate_steps == 0 or self.step == self.n_steps:
                    means = np.mean(sums, axis=0)
                    report: dict[str, Any] = {
                        "step": self.step,
                        "of": self.n_steps,
                        "tokens": self.tokens,
                        "rate": self.optimizer.param_groups[0]["lr"],
                        "loss": round(float(means[0]), 4),
                        "sentence": round(float(means[1]), 4),
                        "tokens_per_second": round((self.tokens - first_tokens) / (time.monotonic() - began)),
                        "held_out": self.evaluate(),
                        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    }
                    sums = []
                    log.write(json.dumps(report, ensure_ascii=False) + "\n")
                    log.flush()
                    on_report(report)
                if time.monotonic() - saved > self.config.checkpoint_seconds or self.step == self.n_steps:
                    self.save()
                    saved = time.monotonic()
        return True

    def _steps(self) -> Iterator[list[Ints]]:
        """Give the batches of the steps that are left."""
        done = 0
        for number, size in enumerate(self.round_steps):
            if self.step < done + size and self.step < self.n_steps:
                batches = plan_round(self.corpus, self.config, number, self.tokenizer.n_special)
                for step in range(self.step - done, size):
                    if done + step >= self.n_steps:
                        return
                    yield batches[step * self.config.accumulate : (step + 1) * self.config.accumulate]
            done += size

    def _step(self, batches: list[Ints]) -> tuple[float, float]:
        self.model.train()
        share = rate_share(self.step, self.n_steps, self.config.warmup_steps, self.config.decay_share)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate * share
        random = np.random.default_rng([self.config.seed, 1, self.step])
        laid_out = [
            lay_out(self.corpus, passages, self.tokenizer, self.starts, self.config.hidden_share, random)
            for passages in batches
        ]
        n_hidden = sum(len(batch.labels) for batch in laid_out)
        totals = [0.0, 0.0]
        for batch in laid_out:
            pieces, sentence = self._losses(batch)
            pieces_share = len(batch.labels) / n_hidden
            loss = pieces * pieces_share + sentence * (self.config.sentence_weight / len(laid_out))
            loss.backward()  # type: ignore[no-untyped-call]
            totals[0] += float(pieces.detach()) * pieces_share
            totals[1] += float(sentence.detach()) / len(laid_out)
            self.tokens += int(batch.mask.sum())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return totals[0], totals[1]

    def _losses(self, batch: PassageBatch) -> tuple[Tensor, Tensor]:
        input_ids = torch.from_numpy(batch.input_ids).to(self.device)
        mask = None if batch.mask.all() else torch.from_numpy(batch.mask.astype(np.int64)).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.bf16):
            logits, states = self.model(input_ids, mask, torch.from_numpy(batch.positions).to(self.device))
            pieces = functional.cross_entropy(logits.float(), torch.from_numpy(batch.labels).to(self.device))
            sentence = pieces.new_zeros(())
            if self.targets is not None and self.model.sentence is not None:
                wanted = torch.from_numpy(np.asarray(self.targets[batch.passages], dtype=np.float32)).to(self.device)
                known = ~wanted.isnan().any(1)
                if bool(known.any()):
                    given = self.model.sentence(mean_states(states, mask)[known]).float()
                    sentence = 1 - functional.cosine_similarity(given, wanted[known]).mean()
        return pieces, sentence

    @torch.no_grad()
    def evaluate(self, n_tokens: int = 8_000) -> dict[str, float]:
        """Give the loss on held-out passages of each source, of so many tokens at most, always hidden alike."""
        self.model.eval()
        losses = {}
        for source, name in enumerate(self.corpus.names):
            passages = np.flatnonzero((self.corpus.source == source) & self.corpus.held_out & (self.corpus.lengths > 0))
            passages = passages[np.cumsum(self.corpus.lengths[passages]) <= n_tokens]
            passages = passages[np.argsort(self.corpus.lengths[passages], kind="stable")]
            random = np.random.default_rng([17, source])
            total = count = 0.0
            for part in np.array_split(passages, max(1, len(passages) // 24)):
                if len(part):
                    batch = lay_out(self.corpus, part, self.tokenizer, self.starts, self.config.hidden_share, random)
                    total += float(self._losses(batch)[0]) * len(batch.labels)
                    count += len(batch.labels)
            if count:
                losses[name] = round(total / count, 4)
        return losses


@torch.no_grad()
def read_targets(
    encoder: Any,
    tokenizer: TextTokenizer,
    corpus: Corpus,
    sources: Mapping[str, bool] | None,
    folder: Path,
    *,
    max_pieces: int = 48,
    bf16: bool = False,
    on_part: Callable[[int, int], None] = lambda _, __: None,
) -> npt.NDArray[np.float16]:
    """Let an encoder read whole passages, and standardise the means of its states; what is done is kept in the folder.

    Args:
      encoder, tokenizer: the encoder that a run begins with.
      corpus: the passages.
      sources: by name, which are read; None for all.
      folder: where the means lie.
      max_pieces: longer passages are not read: most of the time would go into them, and what is to be kept is what
        the encoder knows of sentences.
      bf16: read under bf16 autocast.
      on_part: hears how many passages are read, and of how many.

    Returns:
      Rows of NaN for what was not read. Shape: (n_passages, H).
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / TARGETS_FILE
    shape = (len(corpus.source), int(encoder.config.hidden_size))
    if not path.exists():
        fresh = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        fresh[:] = np.nan
        fresh.flush()
    means = np.lib.format.open_memmap(path, mode="r+")
    require(means.shape == shape, f"{path} must hold a row of each of the corpus's passages", means.shape, "Remove it.")
    asked = [i for i, name in enumerate(corpus.names) if sources is None or sources.get(name, False)]
    wanted = np.flatnonzero(np.isin(corpus.source, asked) & (corpus.lengths > 0) & (corpus.lengths <= max_pieces))
    left = wanted[np.isnan(means[wanted, 0])]
    left = left[np.argsort(corpus.lengths[left], kind="stable")]
    device = next(encoder.parameters()).device
    encoder.eval()
    starts = np.zeros(len(tokenizer.tokenizer), dtype=np.bool_)
    begin = 0
    while begin < len(left):
        room = 4096 // (int(corpus.lengths[left[min(begin + 127, len(left) - 1)]]) + tokenizer.n_special)
        part = left[begin : begin + max(1, min(128, room))]
        batch = lay_out(corpus, part, tokenizer, starts, 1e-9, np.random.default_rng(1))
        input_ids = batch.input_ids.copy()
        input_ids.reshape(-1)[batch.positions] = batch.labels  # nothing is hidden from it
        mask = torch.from_numpy(batch.mask.astype(np.int64)).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            states = encoder(input_ids=torch.from_numpy(input_ids).to(device), attention_mask=mask).last_hidden_state
        means[part] = mean_states(states, mask).half().cpu().numpy()
        begin += len(part)
        on_part(len(wanted) - len(left) + begin, len(wanted))
    means.flush()
    given = np.asarray(means)
    some = np.random.default_rng(1).permutation(wanted)[:50_000]
    center, spread = given[some].astype(np.float32).mean(0), given[some].astype(np.float32).std(0)
    standard = np.full(shape, np.nan, dtype=np.float16)
    standard[wanted] = (given[wanted].astype(np.float32) - center) / np.maximum(spread, 1e-3)
    return standard
