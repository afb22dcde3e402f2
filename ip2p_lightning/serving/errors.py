"""Errors that a queue answers in place of a result; each is one sentence that its client may read."""

from __future__ import annotations


class QueueFull(RuntimeError):
    """The queue has no room now.

    Args:
        retry_after: seconds after which there is likely to be some, at least 1.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; ask again in {retry_after} s")
        self.retry_after = retry_after


class QueueClosed(RuntimeError):
    """The service is stopping, and this request was not finished."""


class TooLate(TimeoutError):
    """A request was not finished in the time that it was given."""
