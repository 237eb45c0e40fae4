"""Reading dependency trees off a head that scores arcs and labels."""

from collections.abc import Sequence

import numpy as np
import torch

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.models.text.parts_of_speech import PosTagger
from klue_beam.transforms.models.text.pieces import index_eojeols
from klue_beam.transforms.tasks.annotator import Annotator, EncoderPass, Found, TaskModel, Work, require_finite
from klue_beam.transforms.tasks.columns import Probabilities
from klue_beam.transforms.tasks.dependency.head_final import decode_head_final
from klue_beam.transforms.tasks.dependency.trees import Arcs, decode_heads

Scored = tuple[Ints, Ints, Ints, Probabilities]
"""What is kept of a pass: eojeols, their heads, labels and scores. Shape of each: (n_arcs,)."""


class DependencyAnnotator(Annotator):
    """Reads trees off the scores of arcs; texts that are cut into windows have none.

    Args:
      model: the task's part of a model; its head is a DependencyHead, or has the interface of one.
    """

    def __init__(self, model: TaskModel) -> None:
        self._model, self._head = model, model.heads["dependency"]
        self._tagger = PosTagger() if getattr(self._head, "reads_tags", False) else None
        self._decode_heads = decode_head_final if model.spec.head_final else decode_heads

    def forward(self, batch: EncoderPass) -> Scored | None:
        """See Annotator."""
        model, encoded, windows = self._model, batch.work.encoded, batch.work.windows
        whole = np.flatnonzero(~windows.is_window[batch.index])
        text = windows.units.text[batch.index[whole]]
        where = index_eojeols(encoded, text, batch.inputs.n_prefix)
        if not where.n_eojeols.any():
            return None
        columns = [where.first, where.last, where.n_eojeols]
        if self._tagger is not None:
            columns.append(self._tagger.tag(encoded, text))
        arcs, dependents, candidates = self._head(
            batch.hidden[to_tensor(whole, model.device)], *(to_tensor(column, model.device) for column in columns)
        )
        log_arcs = torch.log_softmax(model.calibrated("arc", arcs), -1)
        heads = self._decode_heads(log_arcs.cpu().numpy(), where.n_eojeols)
        chosen = to_tensor(heads, model.device)
        labels = model.probabilities("deprel", self._head.score_labels(dependents, candidates, chosen))
        row, column = np.nonzero(np.arange(heads.shape[1]) < where.n_eojeols[:, None])
        arc_score = log_arcs.gather(2, chosen.unsqueeze(-1)).squeeze(-1).exp().cpu().numpy()
        require_finite(arc_score[row, column])
        eojeol = encoded.eojeols.offsets[text[row]] + column
        label = labels.argmax(-1)[row, column]
        return eojeol, heads[row, column], label, (arc_score * labels.max(-1))[row, column]

    def decode(self, kept: Sequence[Scored], work: Work) -> Found:
        """See Annotator."""
        none = np.zeros(0, dtype=np.int64)
        columns = [np.concatenate([none, *(part[i] for part in kept)]) for i in range(3)]
        score = np.concatenate([np.zeros(0, np.float32), *(part[3] for part in kept)]).astype(np.float32)
        order = np.argsort(columns[0], kind="stable")
        eojeol, head, label = (column[order] for column in columns)
        arcs = Arcs(self._model.spec.deprels, work.encoded.eojeols, eojeol, head, label, score[order])
        return Found(arcs, {"dp_skipped_too_long": work.windowed()})
