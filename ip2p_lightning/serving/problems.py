"""Errors of requests in the form that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

from ip2p_lightning.serving.errors import QueueClosed, QueueFull, TooLate
from ip2p_lightning.untrusted import printable

_KIND = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error"}


class Problem(Exception):
    """An answer that is an error. Clients of OpenAI's choose their exception by `status`, and show `message`.

    Args:
        status: of HTTP.
        message: a sentence for the client.
        param: the field that is at fault.
        code: a word for programs.
        retry_after: seconds after which another attempt makes sense.
        retry: whether the client should try again, where that is not what it takes from the status.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        retry_after: int | None = None,
        retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers: dict[str, str] = {}
        if retry_after is not None:
            self.headers |= {"Retry-After": str(retry_after), "retry-after-ms": str(1000 * retry_after)}
        if retry is not None:
            self.headers["x-should-retry"] = "true" if retry else "false"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON value of the answer."""
        kind = _KIND.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        message = printable(self.message)
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}


def problem_of(error: BaseException) -> Problem:
    """Any error as an answer, without internal details."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, QueueFull):
        message = f"The service is busy: {error}."
        return Problem(429, message, code="rate_limit_exceeded", retry_after=error.retry_after)
    if isinstance(error, QueueClosed):
        return Problem(503, f"Not done: {error}.", code="service_stopping", retry_after=5)
    if isinstance(error, TooLate):
        return Problem(504, f"Gave up: {error}.", code="timeout", retry=False)
    return Problem(500, "The service failed; its log says why, under the id in x-request-id.", code="internal_error")
