"""Triples by a server that speaks OpenAI's HTTP protocol: vLLM, llama.cpp, text-generation-inference, OpenAI itself."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Literal

import httpx

from ip2p_lightning.generation.base import Caption, EditTriple, Rejected
from ip2p_lightning.generation.prompt_format import ASK, END, EXAMPLES, completion, few_shot_prompt, prompt
from ip2p_lightning.generation.triple_checks import TripleChecks
from ip2p_lightning.generation.writers.completion import CompletionWriter

_MAX_BYTES = 2**20
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)  # what another try may mend
_PERSONAL = (400, 413, 422)  # what is wrong with this caption, unless it is wrong with all
_SYSTEM = (
    "You invent edits of pictures. The user gives the caption of a picture and a line ##. Answer with a brief command "
    "that changes the picture, a line %%, the caption of the changed picture, and a line END. Nothing else."
)


class EndpointError(RuntimeError):
    """A server that cannot be used, or not now; the message says which and what to do."""


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
        concurrency: requests at once.
        timeout: seconds that a request may take.
        attempts: requests for one answer while the server is unwell.
        pause: seconds before the second attempt; doubled before each further one, or as long as the server asks (at
            most a minute).
        key_variable: variable of the environment that holds the key; none is sent where it is not set. Keys are
            neither stored nor shown.
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
        if not 0 <= shots <= len(EXAMPLES) or min(concurrency, attempts, max_new_tokens) < 1 or timeout <= 0:
            raise ValueError(
                f"shots={shots} must be in 0..{len(EXAMPLES)}; concurrency={concurrency}, attempts={attempts} and "
                f"max_new_tokens={max_new_tokens} at least 1; timeout={timeout} above 0"
            )
        self.url, self.api, self.shots = httpx.URL(url.rstrip("/")), api, shots
        self.concurrency, self.timeout, self.attempts, self.pause = concurrency, timeout, attempts, pause
        self.key_variable = key_variable
        self.settings: dict[str, Any] = {
            "model": model,
            "temperature": temperature,
            "top_p": top_p,
            "frequency_penalty": frequency_penalty,
            "presence_penalty": presence_penalty,
            "max_tokens": max_new_tokens,
            "stop": [END],
        }
        self.name = f"{model} at {self.url.host}"
        if self._key() and self.url.scheme != "https" and self.url.host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError(
                f"url={url} is not encrypted, and the key in {key_variable} would be sent over it; use https, or unset "
                f"{key_variable}"
            )

    def write(self, captions: Sequence[Caption], seed: int = 0) -> list[EditTriple | Rejected]:
        outcomes = super().write(captions, seed)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected) and outcome.reason == "refused"]
        if len(refused) == len(captions) > 1:
            raise EndpointError(f"{self.url} refuses all of {len(captions)} captions: {refused[0].detail}")
        return outcomes

    def complete(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str | Rejected]:
        headers = {"Authorization": f"Bearer {key}"} if (key := self._key()) else {}
        with (
            httpx.Client(headers=headers, timeout=self.timeout) as client,
            ThreadPoolExecutor(min(self.concurrency, len(captions))) as pool,
        ):
            waiting = [pool.submit(self._ask, client, *one) for one in zip(captions, seeds, strict=True)]
            try:
                return [answer.result() for answer in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "").strip()

    def _ask(self, client: httpx.Client, caption: str, seed: int) -> str | Rejected:
        """One answer, after as many attempts as it takes."""
        path = "/chat/completions" if self.api == "chat" else "/completions"
        body = {**self.settings, **self._prompt(caption), "seed": seed % 2**31}
        chance, problem = Random(seed), ""
        for attempt in range(self.attempts):
            wait = None
            try:
                response, content = _post(client, f"{self.url}{path}", body, self.timeout)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code == 200:
                    return self._answer(content)
                problem = f"{response.status_code} {content[:300].decode(errors='replace')}"
                if response.status_code in _PERSONAL:
                    return Rejected("", "refused", problem)
                if response.status_code not in _PASSING:
                    raise EndpointError(f"{self.url}{path} answers {problem}: {self._remedy(response.status_code)}")
                wait = _asked_to_wait(response)
            if attempt + 1 < self.attempts:
                pause = self.pause * 2**attempt * (0.75 + 0.5 * chance.random())
                time.sleep(min(60.0, pause if wait is None else max(wait, pause)))
        raise EndpointError(
            f"{self.url}{path} gave no answer in {self.attempts} attempts, the last: {problem}. Look at it, then run "
            "the same command again: finished captions are not asked for twice"
        )

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
            choice = httpx.Response(200, content=content).json()["choices"][0]
            text = choice["message"]["content"] if self.api == "chat" else choice["text"]
            if not isinstance(text, str):
                raise TypeError(f"the text is {text!r}")
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return f"not an answer ({type(error).__name__}: {error}){END}"  # unparsable: asked for again
        return text + END if choice.get("finish_reason") == "stop" and END not in text else text

    def _remedy(self, status: int) -> str:
        return {
            401: f"set {self.key_variable} in the environment to the server's key",
            403: f"the key in {self.key_variable} may not use this model",
            404: f"check url and model, {self.settings['model']!r}, and that the server has api={self.api}",
        }.get(status, "check url, model and api")


def _post(client: httpx.Client, url: str, body: Mapping[str, Any], timeout: float) -> tuple[httpx.Response, bytes]:
    """A whole response; no server can fill the memory or keep us for ever by sending a byte at a time."""
    deadline = time.monotonic() + timeout
    with client.stream("POST", url, json=body) as response:
        content = b""
        for part in response.iter_bytes():
            content += part
            if len(content) > _MAX_BYTES:
                raise httpx.ReadError(f"an answer of more than {_MAX_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"not whole after {timeout:g} s")
    return response, content


def _asked_to_wait(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header, where it gives any."""
    try:
        return float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
