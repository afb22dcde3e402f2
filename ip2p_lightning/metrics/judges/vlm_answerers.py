"""Vision-language models that answer a judge's questions: a local one of transformers, or one behind a server."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_lightning.metrics.judges.vlm_judge import Question
from ip2p_lightning.model_server import EndpointError, ModelServer, Refused, chat_text
from ip2p_lightning.models.loading import load_model, load_processor


class LocalAnswerer:
    """Any image-text-to-text model of transformers (LLaVA, Qwen-VL, Idefics, ...). Answers are greedy: always the same.

    Args:
        model: as `AutoModelForImageTextToText` gives it, in evaluation mode.
        processor: as `AutoProcessor` gives it; without a chat template the question is put as LLaVA 1.5 expects it.
        name: of the model, for provenance and the key of stored verdicts.
        max_new_tokens: longest answer.
        batch_size: questions at once.
    """

    def __init__(self, model: Any, processor: Any, name: str, max_new_tokens: int = 256, batch_size: int = 4) -> None:
        if min(max_new_tokens, batch_size) < 1:
            raise ValueError(f"max_new_tokens={max_new_tokens} and batch_size={batch_size} must be at least 1")
        self.model, self.processor, self.name = model, processor, name
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size
        self._tokenizer = getattr(processor, "tokenizer", processor)
        self._weights = ""

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str = "cpu",
        dtype: str = "float32",
        max_new_tokens: int = 256,
        batch_size: int = 4,
    ) -> LocalAnswerer:
        """Open a model from a folder or the hub; safetensors alone, and no code that comes with the weights.

        Args:
            path: folder or hub name.
            device: it runs on.
            dtype: of its weights, such as "bfloat16".
            max_new_tokens: longest answer.
            batch_size: questions at once.
        """
        from transformers import AutoModelForImageTextToText

        model: Any = load_model(AutoModelForImageTextToText, path, dtype=dtype)
        return cls(model.to(device).eval(), load_processor(path), str(path), max_new_tokens, batch_size)

    def fingerprint(self) -> str:
        """Name, length of answers, and a hash of some of the weights."""
        if not self._weights:
            digest = hashlib.sha256()
            for name, parameter in self.model.named_parameters():
                sample = parameter.detach().flatten()[:: max(1, parameter.numel() // 64)]
                digest.update(name.encode() + sample.float().cpu().numpy().tobytes())
            self._weights = digest.hexdigest()[:16]
        return f"{self.name} {self._weights} {self.max_new_tokens}"

    @torch.inference_mode()
    def answer(self, questions: Sequence[Question]) -> list[str]:
        """See `Answerer.answer`."""
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        answers: list[str] = []
        for start in range(0, len(questions), self.batch_size):
            batch = questions[start : start + self.batch_size]
            inputs = self.processor(
                text=[self._prompt(question) for question in batch],
                images=[list(question.pictures) for question in batch],
                padding=True,
                return_tensors="pt",
            )
            inputs = {key: self._moved(value) for key, value in inputs.items() if key != "token_type_ids"}
            written = self.model.generate(
                **inputs,
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=self._tokenizer.pad_token_id,
            )
            new = written[:, inputs["input_ids"].shape[1] :]
            answers += self._tokenizer.batch_decode(new, skip_special_tokens=True)
        return answers

    def _prompt(self, question: Question) -> str:
        if getattr(self.processor, "chat_template", None):
            pictures = [{"type": "image"} for _ in question.pictures]
            message = {"role": "user", "content": [*pictures, {"type": "text", "text": question.text}]}
            return self.processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        token = getattr(self.processor, "image_token", "<image>")
        return f"USER: {' '.join([token] * len(question.pictures))}\n{question.text} ASSISTANT:"

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.model.device, self.model.dtype if value.is_floating_point() else value.dtype)


class ServerAnswerer:
    """A model behind `<url>/chat/completions`. A question that the server will not take has no answer.

    Args:
        model: name on the server.
        url: up to and including the version.
        temperature: of sampling; 0 for the likeliest answer, more if unreadable answers are asked for again.
        max_new_tokens: longest answer.
        concurrency, timeout, attempts, pause, key_variable: see `ModelServer`.

    Raises:
        ValueError: see `ModelServer`.
    """

    def __init__(
        self,
        model: str,
        url: str = "http://localhost:8000/v1",
        temperature: float = 0.0,
        max_new_tokens: int = 512,
        concurrency: int = 4,
        timeout: float = 120.0,
        attempts: int = 5,
        pause: float = 1.0,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        self.model, self.temperature, self.max_new_tokens = model, temperature, max_new_tokens
        self.server = ModelServer(url, concurrency, timeout, attempts, pause, key_variable)
        self.name = f"{model} at {self.server.url.host}"

    def fingerprint(self) -> str:
        """Server, model and settings; a model that the server exchanges under its name cannot be determined."""
        return f"{self.server.url} {self.model} {self.temperature} {self.max_new_tokens}"

    def answer(self, questions: Sequence[Question]) -> list[str]:
        """See `Answerer.answer`.

        Raises:
            EndpointError: a server that gives no answer, or refuses all of several questions.
        """
        contents = self.server.ask("/chat/completions", [self._body(question) for question in questions])
        refused = [content for content in contents if isinstance(content, Refused)]
        if len(refused) == len(questions) > 1:
            raise EndpointError(f"{self.server.url} refuses all of {len(questions)} questions: {refused[0].problem}")
        return ["" if isinstance(content, Refused) else _text(content) for content in contents]

    def _body(self, question: Question) -> dict[str, Any]:
        pictures = [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in question.pictures]
        return {
            "model": self.model,
            "temperature": self.temperature,
            "max_tokens": self.max_new_tokens,
            "seed": question.seed,
            "messages": [{"role": "user", "content": [*pictures, {"type": "text", "text": question.text}]}],
        }


def _text(content: bytes) -> str:
    try:
        return chat_text(content)
    except ValueError as error:
        return str(error)  # unreadable, and counted as such


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
