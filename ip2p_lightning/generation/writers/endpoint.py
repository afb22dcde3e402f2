"""Triples by a server that speaks OpenAI's HTTP protocol: vLLM, llama.cpp, text-generation-inference, OpenAI itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.triple_checks import TripleChecks
from ip2p_lightning.generation.writers.completion import CompletionWriter
from ip2p_lightning.model_server import EndpointError, ModelServer, Refused
from ip2p_lightning.models.triple_format import ASK, END, EXAMPLES, completion, few_shot_prompt, prompt

__all__ = ["EndpointError", "EndpointWriter"]

_SYSTEM = (
    "You invent edits of pictures. The user gives the caption of a picture and a line ##. Answer with a brief command "
    "that changes the picture, a line %%, the caption of the changed picture, and a line END. Nothing else."
)


class EndpointWriter(CompletionWriter):
    """A language model behind `<url>/completions` or `<url>/chat/completions`.

    Requests carry a seed made of the writer's and the caption's id; whether answers can be had again depends on the
    server. What passes (time-outs, 429, 5xx) is tried again after growing pauses, and ends the run with an
    `EndpointError` if it lasts: the stage goes on where it stopped. A caption that the server will not take (400,
    413, 422) is rejected as "refused", unless all of several are.

    Args:
        model: name on the server.
        url: up to and including the version, such as "http://localhost:8000/v1".
        api: "completions" continues the text as tuned and base models do; "chat" asks a model that follows orders.
        shots: examples shown before the caption (up to 6); 0 for a model tuned on the format.
        temperature, top_p, frequency_penalty, presence_penalty: of sampling, as in the paper's use of GPT-3.
        max_new_tokens: longest answer.
        concurrency, timeout, attempts, pause, key_variable: see `ModelServer`.
        retries: tries after the first where answers are of no use.
        checks: what is refused.

    Raises:
        ValueError: an unknown api, a number out of its range, or a key that would cross a network unencrypted.
    """

    def __init__(
        self,
        model: str,
        url: str = "http://localhost:8000/v1",
        api: Literal["completions", "chat"] = "completions",
        shots: int = 6,
        temperature: float = 0.7,
        top_p: float = 1.0,
        frequency_penalty: float = 0.1,
        presence_penalty: float = 0.0,
        max_new_tokens: int = 256,
        concurrency: int = 8,
        timeout: float = 60.0,
        attempts: int = 5,
        pause: float = 1.0,
        key_variable: str = "OPENAI_API_KEY",
        retries: int = 3,
        checks: TripleChecks | None = None,
    ) -> None:
        super().__init__(checks, retries)
        if api not in ("completions", "chat"):
            raise ValueError(f"api={api!r}: choose completions or chat")
        if not 0 <= shots <= len(EXAMPLES) or max_new_tokens < 1:
            raise ValueError(
                f"shots={shots} must be in 0..{len(EXAMPLES)} and max_new_tokens={max_new_tokens} at least 1"
            )
        self.server = ModelServer(url, concurrency, timeout, attempts, pause, key_variable)
        self.api, self.shots = api, shots
        self.settings: dict[str, Any] = {
            "model": model,
            "temperature": temperature,
            "top_p": top_p,
            "frequency_penalty": frequency_penalty,
            "presence_penalty": presence_penalty,
            "max_tokens": max_new_tokens,
            "stop": [END],
        }
        self.name = f"{model} at {self.server.url.host}"

    def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
        outcomes = super().write(captions, seed)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected) and outcome.reason == "refused"]
        if len(refused) == len(captions) > 1:
            raise EndpointError(f"{self.server.url} refuses all of {len(captions)} captions: {refused[0].detail}")
        return outcomes

    def complete(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str | Rejected]:
        path = "/chat/completions" if self.api == "chat" else "/completions"
        bodies = [
            {**self.settings, **self._prompt(caption), "seed": seed % 2**31}
            for caption, seed in zip(captions, seeds, strict=True)
        ]
        answers = self.server.ask(path, bodies)
        return [
            Rejected("", "refused", answer.problem) if isinstance(answer, Refused) else self._answer(answer)
            for answer in answers
        ]

    def _prompt(self, caption: str) -> dict[str, Any]:
        if self.api == "completions":
            examples = EXAMPLES[: self.shots]
            return {"prompt": few_shot_prompt(caption, examples) if examples else prompt(caption)}
        messages = [{"role": "system", "content": _SYSTEM}]
        for record in EXAMPLES[: self.shots]:
            messages.append({"role": "user", "content": prompt(record.caption).strip()})
            messages.append({"role": "assistant", "content": completion(record.instruction, record.edited_caption)})
        return {"messages": [*messages, {"role": "user", "content": f"{caption}{ASK}".strip()}]}

    def _answer(self, content: bytes) -> str | Rejected:
        """The text of an answer; servers cut the end off and say that they did. Anything unlike an answer is none."""
        try:
            choice = json.loads(content)["choices"][0]
            text = choice["message"]["content"] if self.api == "chat" else choice["text"]
            if not isinstance(text, str):
                raise TypeError(f"the text is {text!r}")
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            return f"not an answer ({type(error).__name__}: {error}){END}"  # unparsable: asked for again
        return text + END if choice.get("finish_reason") == "stop" and END not in text else text
