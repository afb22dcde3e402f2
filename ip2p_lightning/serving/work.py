"""From a request of HTTP to the queue and back: opening images, waiting, streaming, and clients that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from PIL import Image
from starlette.requests import Request

from ip2p_lightning.serving.answers import HEARTBEAT, Finished, Shape, event
from ip2p_lightning.serving.engines import Engine
from ip2p_lightning.serving.errors import TooLate
from ip2p_lightning.serving.problems import Problem, problem_of
from ip2p_lightning.serving.queue import OnProgress, Progress, WorkQueue

T = TypeVar("T")
_QUIET = 15.0
"""Seconds without an event after which a stream says that it lives."""


class Gone(Exception):
    """The client went away."""


class Desk:
    """Takes requests to the queue, and results back.

    Images are opened by two threads alone, so that few of them are in memory before the queue has room for them.

    Args:
        queue: the queue.
        timeout: seconds that a request may take, waiting included.
    """

    def __init__(self, queue: WorkQueue, timeout: float) -> None:
        self.queue, self.timeout = queue, timeout
        self._openers = ThreadPoolExecutor(2, thread_name_prefix="open")

    async def submit(
        self,
        engine: Engine,
        requests: Callable[[], Sequence[Any]],
        on_step: Sequence[OnProgress] | None = None,
    ) -> list[Future]:
        """Open a request's images and queue what is to be done.

        Args:
            engine: what is to do it.
            requests: makes the queue's requests; called on a thread.
            on_step: called with the progress of each.
        """

        def work() -> list[Future]:
            try:
                made = requests()
                return self.queue.submit(engine, made, on_step, self.timeout)
            except ValueError as error:  # of whatever the engine refuses
                raise Problem(400, f"{error}.", code="invalid_value") from error

        submitted = asyncio.get_running_loop().run_in_executor(self._openers, work)
        try:
            return await asyncio.shield(submitted)
        except asyncio.CancelledError:
            submitted.add_done_callback(_cancel_all)
            raise

    async def results(self, pending: Sequence[Future]) -> list[Any]:
        """All results; once one fails, or no client waits any more, the others are given up."""
        try:
            async with asyncio.timeout(self.timeout):
                return list(await asyncio.gather(*map(asyncio.wrap_future, pending)))
        except TimeoutError as error:
            raise error if isinstance(error, TooLate) else TooLate("not done in the time that was given") from error
        finally:
            for one in pending:
                one.cancel()

    async def events(
        self,
        kind: str,
        shape: Shape,
        pending: Sequence[Future],
        partials: Partials,
        finished: Callable[[Any], Finished],
    ) -> AsyncIterator[bytes]:
        """Server-sent events: unfinished images as they come, and each result.

        Args:
            kind: "image_edit" or "image_generation".
            shape: of the images.
            pending: the results.
            partials: gives unfinished images.
            finished: makes of the queue's result what is sent.
        """
        tasks = {asyncio.ensure_future(asyncio.wrap_future(one)): place for place, one in enumerate(pending)}
        waiting: set[asyncio.Future[Any]] = set(tasks)
        try:
            async with asyncio.timeout(self.timeout):
                while waiting:
                    more = asyncio.ensure_future(partials.events.get())
                    done, _ = await asyncio.wait({*waiting, more}, timeout=_QUIET, return_when=asyncio.FIRST_COMPLETED)
                    if more in done:
                        place, number, image = more.result()
                        yield await asyncio.to_thread(shape.partial, kind, image, place, number)
                    else:
                        more.cancel()
                    for task in done & waiting:
                        result = finished(task.result())
                        yield await asyncio.to_thread(shape.completed, kind, result, tasks[task])
                    waiting -= done
                    if not done:
                        yield HEARTBEAT
        except Exception as error:
            late = TooLate("not done in the time that was given")
            problem = problem_of(late if isinstance(error, TimeoutError) else error)
            yield event("error", {"type": "error", **problem.body})
        finally:
            for one in pending:
                one.cancel()
            for task in tasks:
                task.cancel()


class Partials:
    """Unfinished images of some results, handed from the worker's thread to the event loop.

    Args:
        count: unfinished images of each result; fewer where there are fewer steps.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.events: asyncio.Queue[tuple[int, int, Image.Image]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def of(self, place: int) -> OnProgress:
        """Function that the queue calls for a result."""

        def step(progress: Progress) -> None:
            due = _due(self.count, progress.of)
            if progress.number in due and (image := progress.image()) is not None:
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self.events.put_nowait, (place, due.index(progress.number), image))

        return step


def _due(count: int, steps: int) -> list[int]:
    """The steps, before the last, after which unfinished images are shown: evenly spread.

    >>> _due(3, 8), _due(3, 2), _due(0, 8)
    ([2, 4, 6], [1], [])
    """
    return sorted({steps * number // (count + 1) for number in range(1, count + 1)} - {0, steps})


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client goes away.

    Raises:
        Gone: it did.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _cancel_all(submitted: asyncio.Future[list[Future]]) -> None:
    if not submitted.cancelled() and submitted.exception() is None:
        for pending in submitted.result():
            pending.cancel()
