"""Fine-tuning of a language model that writes triples, as InstructPix2Pix tuned GPT-3 (section 3.1.1).

Given a caption, the model learns to write an instruction and the caption of the edited image, on the texts of edit
pairs; 700 rows written by people and one pass over them were enough for GPT-3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.stage import Stage
from ip2p_lightning.methods.staged import OptimizerFactory, StagedModule
from ip2p_lightning.models.causal_lm import text_ids
from ip2p_lightning.models.pretrained import marks
from ip2p_lightning.models.triple_format import completion, prompt

_IGNORED = -100


class WriterModule(StagedModule):
    """A causal language model and its loss: "writing_loss", the mean cross entropy of instructions and edited captions.

    Args:
        model: a causal language model of transformers, with or without an adapter.
        tokenizer: the model's.
        max_length: longest row in tokens; longer ones teach nothing, as they would without their end.
        optimizer: makes the optimizer from parameter groups.
        stages: the stages of training.
        config: see `StagedModule`.
    """

    parts = ("model",)
    learners = ("model",)

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int = 256,
        optimizer: OptimizerFactory = torch.optim.AdamW,
        stages: Sequence[Stage] = (Stage(),),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(optimizer, stages, config)
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._marks = marks(self)  # checkpoints leave out what the model's own folder holds

    def forward(self, batch: PairBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The loss of a batch's texts; its images are not looked at.

        Raises:
            ValueError: pairs without captions.
        """
        triples = list(zip(batch.original_caption, batch.instruction, batch.edited_caption, strict=True))
        if missing := [id for id, triple in zip(batch.id, triples, strict=True) if not all(triple)]:
            raise ValueError(f"pairs {missing[:3]} lack a caption or instruction, which a writer learns from")
        ids, labels = self.rows(triples)
        states = self.model.base_model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
        ).last_hidden_state
        rows, columns = (labels[:, 1:] != _IGNORED).nonzero(as_tuple=True)
        # Logits of answers alone: half of a row is prompt, and a vocabulary is wide.
        logits = cast(Any, self.model.get_output_embeddings())(states[rows, columns])
        total = F.cross_entropy(logits.float(), labels[rows, columns + 1], reduction="sum")
        return {"writing_loss": total / max(1, len(rows))}

    def rows(self, triples: Sequence[tuple[str, str, str]]) -> tuple[Tensor, Tensor]:
        """Ids and labels [B, S] of captions, instructions and edited captions, padded on the right.

        Nothing need be masked: a causal model does not see what follows, and padding has no label.
        """
        eos = cast(int, self.tokenizer.eos_token_id)
        asked = [text_ids(self.tokenizer, prompt(caption)) for caption, _, _ in triples]
        answers = [[*text_ids(self.tokenizer, completion(*edit), begin=False), eos] for _, *edit in triples]
        lengths = [len(one) + len(other) for one, other in zip(asked, answers, strict=True)]
        width = min(max(lengths), self.max_length)
        ids = torch.full((len(triples), width), eos)
        labels = torch.full((len(triples), width), _IGNORED)
        for row, (one, other) in enumerate(zip(asked, answers, strict=True)):
            if lengths[row] <= self.max_length:
                ids[row, : lengths[row]] = torch.tensor(one + other)
                labels[row, len(one) : lengths[row]] = torch.tensor(other)
        return ids.to(self.device), labels.to(self.device)
