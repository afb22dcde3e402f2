"""LGIE (MGIE section 4.1): a language model derives the expressive instruction and the edit head's input, blind.

The model reads the instruction, writes the expressive instruction and then N [IMG] tokens; the hidden states that
predict these go through the edit head. `MultimodalConditioner` adds the image and is MGIE itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationConfig, LlamaForCausalLM, LlavaForConditionalGeneration, PreTrainedTokenizerBase

from ip2p_lightning.cache.encoding import Encoding, tokenizer_digest
from ip2p_lightning.conditioners.base import Conditioner, Conditioning
from ip2p_lightning.conditioners.cut_texts import CutText
from ip2p_lightning.conditioners.prompt import IGNORED, Prompt, Sequences
from ip2p_lightning.conditioners.text import TextConditioner
from ip2p_lightning.data.pair import EditPair, PairBatch
from ip2p_lightning.limits import TEXT_TOKENS
from ip2p_lightning.models.edit_head import EditHead

VISUAL = "visual_states"
"""Name of cached states: those that predict the visual tokens."""


class LanguageModelConditioner(Conditioner):
    """Language model and edit head, as siblings.

    Losses: "instruction_loss", the mean cross entropy of expressive instructions, [IMG] tokens and ends (eq. 2); with
    a teacher also "alignment_loss", the mean squared distance of the edit head's embeddings, and of its null
    condition, to the teacher's of the expressive instruction. Without that start the edit head of a small model can
    collapse to a constant: predicting the next [IMG] token asks nothing of the instruction from its state.

    Args:
        model: a causal language model of transformers with room for the tokenizer's vocabulary.
        tokenizer: from `with_visual_tokens`.
        edit_head: from the model's width to the denoiser's.
        template: the prompt, with "{instruction}".
        max_text_length: longest prompt and answer together, in tokens.
        max_new_tokens: longest expressive instruction that is written at inference.
        no_repeat_ngram_size: forbid repeated n-grams at inference (3 in the release); 0 allows them.
        expressive: write and learn expressive instructions; False goes from the instruction straight to the [IMG]
            tokens.
        alignment_teacher: a trained text conditioner with as many and as wide embeddings as the edit head's. It is
            no part of the model: not trained, not saved.
        gradient_checkpointing: trade a second forward pass of the language model for memory.

    Raises:
        ValueError: parts whose sizes do not fit together.
    """

    model: Any

    def __init__(
        self,
        model: LlamaForCausalLM | LlavaForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        edit_head: EditHead,
        template: str = "{instruction}",
        max_text_length: int = 256,
        max_new_tokens: int = 96,
        no_repeat_ngram_size: int = 0,
        expressive: bool = True,
        alignment_teacher: TextConditioner | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        embeddings = cast(nn.Embedding, model.get_input_embeddings())
        if len(tokenizer) > embeddings.num_embeddings:
            raise ValueError(
                f"the language model has {embeddings.num_embeddings} embeddings for {len(tokenizer)} tokens; build or "
                "load it with the tokenizer that with_visual_tokens returned"
            )
        if edit_head.llm2hid.in_features != embeddings.embedding_dim:
            raise ValueError(
                f"the edit head takes states of width {edit_head.llm2hid.in_features}, the language model gives "
                f"{embeddings.embedding_dim}; set the edit head's input_dim={embeddings.embedding_dim}"
            )
        TEXT_TOKENS.check(max(max_text_length, max_new_tokens), "max_text_length and max_new_tokens")
        self.model = model
        self.tokenizer = tokenizer
        self.edit_head = edit_head
        self.embedding_dim = edit_head.hid2feat.out_features
        self.expressive = expressive
        self.prompt = Prompt(tokenizer, template, self._picture_tokens(), max_text_length)
        self.generation = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            no_repeat_ngram_size=no_repeat_ngram_size,
            eos_token_id=self.prompt.stop_ids,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=self.prompt.silent_ids,
        )
        if gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        self.align_to(alignment_teacher)

    @property
    def reads(self) -> Sequence[str]:
        """The instruction, and the expressive one where the model learns to write it."""
        return ("instruction", "expressive_instruction") if self.expressive else ("instruction",)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """See `Conditioner.cut_texts`; a pair's two texts share the room, of which each is compared with all."""
        return self.prompt.cut_texts(texts)

    def align_to(self, teacher: TextConditioner | None) -> None:
        """Set the teacher of the alignment loss, or take it away with None.

        Raises:
            ValueError: a teacher whose embeddings differ in number or width from the edit head's.
        """
        queries = self.edit_head.query.shape[1]
        if teacher and (teacher.max_length, teacher.embedding_dim) != (queries, self.embedding_dim):
            raise ValueError(
                f"the teacher's embeddings are {teacher.max_length} x {teacher.embedding_dim}, the edit head's "
                f"{queries} x {self.embedding_dim}; set the edit head's queries and output_dim to the former"
            )
        # In a tuple, so that it is no submodule: neither optimizers, checkpoints nor wrappers for devices see it.
        self._teacher = (teacher and teacher.requires_grad_(False).eval(),)

    @property
    def alignment_teacher(self) -> TextConditioner | None:
        """The teacher of the alignment loss, if there is one."""
        return self._teacher[0]

    def forward(self, batch: PairBatch) -> Conditioning:
        """Condition a batch by teacher forcing on its expressive instructions (which may be empty).

        Where the states of visual tokens are cached, the language model is not run and there is no instruction loss.
        """
        if VISUAL in batch.cached:
            condition = self._embed(batch.cached[VISUAL])
        else:
            states, sequences = self._read(batch)
            condition = self._embed(self._visual(states, sequences))
            condition.losses["instruction_loss"] = self._instruction_loss(states, sequences.labels)
        if self.alignment_teacher:
            condition.losses["alignment_loss"] = self._alignment_loss(condition, batch, self.alignment_teacher)
        return condition

    def encodings(self, losses: Collection[str]) -> list[Encoding]:
        """States of the visual tokens, where the language model is frozen and its loss is not asked for."""
        if "instruction_loss" in losses or any(parameter.requires_grad for parameter in self.model.parameters()):
            return []

        def encode(batch: PairBatch) -> dict[str, Tensor]:
            states, sequences = self._read(batch)
            return {VISUAL: self._visual(states, sequences)}

        settings = {
            "tokenizer": tokenizer_digest(self.tokenizer),
            "template": self.prompt.template,
            "length": self.prompt.max_text_length,
            "expressive": self.expressive,
        }
        return [Encoding(VISUAL, self.model, encode, None if self.sees_pictures else _texts, settings)]

    @torch.no_grad()
    def condition(
        self, instructions: Sequence[str], original_images: Tensor, expressive_instructions: Sequence[str] | None = None
    ) -> Conditioning:
        """Write expressive instructions, then read off the visual tokens that follow them.

        Args:
            instructions: B commands.
            original_images: float32 [B, 3, H, W] in [-1, 1].
            expressive_instructions: B texts to use in place of the model's own.
        """
        texts = list(expressive_instructions or self.write(instructions, original_images))
        sequences = self.prompt.sequences(instructions, texts)
        condition = self._embed(self._visual(self._states(sequences, original_images), sequences))
        condition.expressive_instructions = texts
        return condition

    def condition_on(
        self, instructions: Sequence[str], original_images: Tensor, expressive_instructions: Sequence[str | None]
    ) -> Conditioning:
        """See `Conditioner.condition_on`."""
        texts = self.completed(instructions, original_images, expressive_instructions)
        return self.condition(instructions, original_images, texts)

    def completed(
        self, instructions: Sequence[str], original_images: Tensor, given: Sequence[str | None]
    ) -> list[str]:  # fmt: skip
        """The given expressive instructions, and what the model writes where one is None."""
        texts, open_places = list(given), [place for place, text in enumerate(given) if text is None]
        if open_places:
            asked = [instructions[place] for place in open_places]
            for place, text in zip(open_places, self.write(asked, original_images[open_places]), strict=True):
                texts[place] = text
        return [text or "" for text in texts]

    @torch.no_grad()
    def write(self, instructions: Sequence[str], original_images: Tensor) -> list[str]:
        """The expressive instruction of each command, by greedy decoding; "" where `expressive` is off."""
        if not self.expressive:
            return [""] * len(instructions)
        ids, mask = (tensor.to(self._device) for tensor in self.prompt.prompts(instructions))
        generated = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=self.generation,
            **self._picture_inputs(original_images),
        )
        return [self.prompt.read(row) for row in generated[:, ids.shape[1] :].tolist()]

    def _picture_tokens(self) -> int:
        """Patches of an image that the model sees; none here."""
        return 0

    def _picture_inputs(self, images: Tensor) -> dict[str, Tensor]:
        """Further inputs of the model besides token ids; none here."""
        return {}

    @property
    def _device(self) -> torch.device:
        return self.edit_head.query.device

    def _states(self, sequences: Sequences, images: Tensor) -> Tensor:
        """Last hidden states [B, S, D_llm], after the final norm."""
        return self.model.base_model(
            input_ids=sequences.input_ids.to(self._device, non_blocking=True),
            attention_mask=sequences.attention_mask.to(self._device, non_blocking=True),
            use_cache=False,
            **self._picture_inputs(images),
        ).last_hidden_state

    def _read(self, batch: PairBatch) -> tuple[Tensor, Sequences]:
        """States of a batch's prompts and answers, and the sequences that they are of."""
        texts = batch.expressive_instruction if self.expressive else [""] * len(batch)
        sequences = self.prompt.sequences(batch.instruction, texts)
        return self._states(sequences, batch.original_image), sequences

    def _visual(self, states: Tensor, sequences: Sequences) -> Tensor:
        """The states [B, N, D_llm] that predict the visual tokens."""
        rows = torch.arange(len(states), device=self._device)[:, None]
        return states[rows, sequences.visual_positions.to(self._device, non_blocking=True)]

    def _embed(self, visual: Tensor) -> Conditioning:
        """Edit head of the visual tokens and, in the same pass, of zeros."""
        count = len(visual)
        visual = torch.cat([visual, torch.zeros_like(visual[:1])])
        ids = torch.tensor(self.prompt.visual_ids).to(self._device, non_blocking=True)
        tokens = self.model.get_input_embeddings()(ids)
        dtype = self.edit_head.query.dtype
        embeddings = self.edit_head(visual.to(dtype), tokens.to(dtype))
        return Conditioning(embeddings[:-1], embeddings[-1:].expand(count, -1, -1))

    def _instruction_loss(self, states: Tensor, labels: Tensor) -> Tensor:
        # Logits of answers alone: most of a sequence is prompt, and a vocabulary is wide.
        labels = labels[:, 1:]
        rows, columns = (labels != IGNORED).nonzero(as_tuple=True)
        targets = labels[rows, columns].to(self._device, non_blocking=True)
        rows, columns = (index.to(self._device, non_blocking=True) for index in (rows, columns))
        logits = self.model.get_output_embeddings()(states[rows, columns])
        return F.cross_entropy(logits.float(), targets)

    def _alignment_loss(self, condition: Conditioning, batch: PairBatch, teacher: TextConditioner) -> Tensor:
        texts = zip(batch.expressive_instruction, batch.instruction, strict=True)
        target = teacher.to(self._device).encode([expressive or brief for expressive, brief in texts])
        distance = F.mse_loss(condition.embeddings.float(), target.embeddings)
        return distance + F.mse_loss(condition.null_embeddings[:1].float(), target.null_embeddings[:1])


def _texts(pair: EditPair) -> str:
    return f"{pair.instruction}\0{pair.expressive_instruction}"
