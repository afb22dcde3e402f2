"""Expressive instructions (MGIE section 3.1): a multimodal model says what an edit will show, a second one shortens it.

The model is asked "what will this image be like if '...'" for a short paragraph; its answer is cleaned, and what is
still longer than 32 words is summarised. `TrainedExpander` is the shortcut: an MGIE that already writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, LlavaForConditionalGeneration, PreTrainedTokenizerBase

from ip2p_lightning.conditioners.language_model import LanguageModelConditioner
from ip2p_lightning.conditioners.multimodal import clip_pixels
from ip2p_lightning.conditioners.prompt import Prompt
from ip2p_lightning.methods.checkpoint import Weights, load_module
from ip2p_lightning.models.triple_format import one_line

VICUNA_QUESTION = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: what will this image be like if '{instruction}'  (in a short "
    "paragraph)\n{picture} ASSISTANT:"
)
"""The release's question when it prepared its data, on the conversation template of Vicuna 1.1."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"')\]])\s+")
_ENDED = re.compile(r"[.!?][\"')\]]*$")
_MARKS = re.compile(r"\[IMG\d+\]|</s>")
_ALTERNATIVE = re.compile(r"alternative", re.IGNORECASE)


class Summariser(Protocol):
    """Shortens texts."""

    name: str
    """Model and version, for the run card."""

    def to(self, device: torch.device) -> Any:
        """Move what it computes with."""
        ...

    def shorten(self, texts: Sequence[str]) -> list[str]:
        """A shorter text each; "" where none was found."""
        ...


class MllmExpander:
    """A Llava that is asked what will be seen, and what shortens its answers.

    Args:
        model: from `load_llava` or `build_llava`.
        tokenizer: from `with_visual_tokens`.
        summariser: shortens answers of more than `words` words; None cuts them at the last whole sentence or word.
        words: longest expressive instruction (the paper: "less than 32").
        sentences: of an answer that are kept (the release: 2).
        template: the prompt, with "{picture}" and "{instruction}".
        max_text_length: longest prompt in tokens, patches not counted.
        max_new_tokens: longest answer.
        batch_size: images at once.
        device: "auto" takes an accelerator where there is one.
    """

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        summariser: Summariser | None = None,
        words: int = 32,
        sentences: int = 2,
        template: str = VICUNA_QUESTION,
        max_text_length: int = 256,
        max_new_tokens: int = 256,
        batch_size: int = 8,
        device: str = "auto",
    ) -> None:
        if min(words, sentences, batch_size, max_new_tokens) < 1:
            raise ValueError(
                f"words={words}, sentences={sentences}, batch_size={batch_size} and max_new_tokens={max_new_tokens} "
                "must be at least 1"
            )
        self.model: Any = cast(Any, model).to(_device(device)).eval()
        self.tokenizer, self.summariser = tokenizer, summariser
        self.words, self.sentences, self.batch_size = words, sentences, batch_size
        vision: Any = model.config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        patches += model.config.vision_feature_select_strategy == "full"
        self.prompt = Prompt(tokenizer, template, patches, max_text_length)
        self._side = vision.image_size
        self._generation = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=sorted({*self.prompt.silent_ids, *self.prompt.visual_ids}),
        )

    @property
    def name(self) -> str:
        """The models, for the run card."""
        described = self.model.config.name_or_path or type(self.model).__name__
        return f"{described}, {self.summariser.name if self.summariser else f'cut at {self.words} words'}"

    def write(self, images: Sequence[Tensor], instructions: Sequence[str]) -> list[str]:
        answers = []
        for start in range(0, len(instructions), self.batch_size):
            part = slice(start, start + self.batch_size)
            answers += self.describe(images[part], instructions[part])
        texts = [clean(answer, self.sentences) for answer in answers]
        long = [index for index, text in enumerate(texts) if len(text.split()) > self.words]
        if self.summariser and long:
            self.summariser.to(self.model.device)
            shorter = self.summariser.shorten([texts[index] for index in long])
            for index, text in zip(long, shorter, strict=True):
                texts[index] = clean(text, self.sentences) or texts[index]
        return [shortened(text, self.words) for text in texts]

    @torch.inference_mode()
    def describe(self, images: Sequence[Tensor], instructions: Sequence[str]) -> list[str]:
        """The model's own words about each image under its command, by greedy decoding."""
        ids, mask = self.prompt.prompts(instructions)
        pixels = torch.cat([clip_pixels(image[None], self._side) for image in images])
        device = self.model.device
        generated = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            pixel_values=pixels.to(device, self.model.dtype),
            generation_config=self._generation,
        )
        return cast("list[str]", self.tokenizer.batch_decode(generated[:, ids.shape[1] :], skip_special_tokens=True))


class TrainedExpander:
    """A trained MGIE (or LGIE, which does not look) that writes expressive instructions itself.

    Args:
        conditioner: a trained model's.
        name: for the run card.
        batch_size: images at once.
        device: "auto" takes an accelerator where there is one.

    Raises:
        ValueError: a conditioner that writes nothing.
    """

    def __init__(
        self, conditioner: LanguageModelConditioner, name: str = "", batch_size: int = 16, device: str = "auto"
    ) -> None:
        if not isinstance(conditioner, LanguageModelConditioner):
            raise ValueError(
                f"a {type(conditioner).__name__} writes no expressive instructions; give a checkpoint of MGIE or LGIE"
            )
        self.conditioner = conditioner.to(_device(device)).eval()
        self.name, self.batch_size = name or type(conditioner).__name__, batch_size

    @classmethod
    def from_checkpoint(
        cls, checkpoint: str | Path, weights: Weights = "ema", trust: Iterable[str] | None = None, **options: Any
    ) -> TrainedExpander:
        """The writer in a checkpoint of `ip2p train experiment=mgie/...`.

        Args:
            checkpoint: the `.ckpt` file.
            weights: "ema" or "raw".
            trust: see `load_method`.
            options: as for the class.
        """
        conditioner: Any = load_module(checkpoint, weights=weights, trust=trust).conditioner
        return cls(getattr(conditioner, "writer", conditioner), **{"name": f"MGIE of {checkpoint}", **options})

    def write(self, images: Sequence[Tensor], instructions: Sequence[str]) -> list[str]:
        texts = []
        side = self._side()
        for start in range(0, len(instructions), self.batch_size):
            part = slice(start, start + self.batch_size)
            squares = torch.cat([_square(image[None], side) for image in images[part]])
            texts += self.conditioner.write(instructions[part], squares.to(self.conditioner.edit_head.query.device))
        return [one_line(text) for text in texts]

    def _side(self) -> int:
        vision = getattr(self.conditioner.model.config, "vision_config", None)
        return vision.image_size if vision else 8


def clean(answer: str, sentences: int = 2) -> str:
    """First whole sentences of a model's answer, up to where it offers an alternative.

    As the release does it, but for its mistakes: sentences keep a space between them and their own full stop, question
    or exclamation mark; a number ("2.5") is no end of a sentence; a sentence that offers an alternative goes as a
    whole instead of leaving its beginning; an empty answer stays empty instead of raising IndexError; and since the
    prompt is never part of the answer, an instruction that says "ASSISTANT:" changes nothing.

    Args:
        answer: text after the prompt.
        sentences: how many to keep.
    """
    kept: list[str] = []
    for sentence in _SENTENCE_END.split(one_line(_MARKS.split(answer)[0])):
        if _ALTERNATIVE.search(sentence):
            break
        if any(letter.isalnum() for letter in sentence):
            kept.append(sentence.strip())
    text = " ".join(kept[:sentences])
    return text if not text or _ENDED.search(text) else f"{text}."


def shortened(text: str, words: int) -> str:
    """The text, cut to at most so many words: after its last sentence that fits, else after a word."""
    fitting = " ".join(text.split()[:words])
    if fitting == one_line(text):
        return fitting
    whole = list(_SENTENCE_END.finditer(f"{fitting} "))
    return fitting[: whole[-1].start()].strip() if whole else f"{fitting.rstrip(' ,;:-.')}."


def agreement(written: str, truth: str) -> float:
    """F1 of the words that two texts share (ROUGE-1), in [0, 1]: how near a written text is to the true one."""
    ours, theirs = (re.findall(r"\w+", text.lower()) for text in (written, truth))
    shared = sum(min(ours.count(word), theirs.count(word)) for word in set(ours))
    return 2 * shared / (len(ours) + len(theirs)) if shared else 0.0


def _square(image: Tensor, side: int) -> Tensor:
    """The middle of an image [1, 3, H, W] as a square of the side that the model looks at; range [-1, 1] stays."""
    shorter = min(image.shape[-2:])
    top, left = ((length - shorter) // 2 for length in image.shape[-2:])
    square = image[:, :, top : top + shorter, left : left + shorter].float()
    if shorter == side:
        return square
    return torch.nn.functional.interpolate(square, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)


def _device(name: str) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
