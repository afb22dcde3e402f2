"""A bounded queue with one worker: requests of many clients, in batches of one kind, in order of arrival.

The worker takes the request that has waited longest, and with it those behind it that the same batch may hold. While
it works the next ones gather, so that batches grow with the load and a lone request never waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

from PIL import Image

from ip2p_lightning.editors.request import EditCancelled, Step
from ip2p_lightning.serving.engines import Engine, Ready, Request, Result
from ip2p_lightning.serving.errors import QueueClosed, QueueFull, TooLate

log = logging.getLogger(__name__)
_LATE = "not done in the time that was given"


@dataclass(frozen=True)
class Progress:
    """Progress of a request.

    Args:
        number: steps that are done.
        of: steps in all.
        image: makes the image so far; costs a decoding, and works within the callback alone. None where there is none.
    """

    number: int
    of: int
    image: Callable[[], Image.Image | None]


OnProgress = Callable[[Progress], None]
"""Called on the worker's thread after each step of a request; must return at once."""


@dataclass(eq=False)
class _Job:
    engine: Engine
    ready: Ready
    pending: Future
    on_step: OnProgress | None
    deadline: float | None

    def late(self, now: float) -> bool:
        return self.deadline is not None and now > self.deadline


@dataclass(frozen=True)
class Batch:
    """A batch that the worker has done, for those who count.

    Args:
        engine: what did it.
        size: requests in it.
        seconds: that it took.
    """

    engine: Engine
    size: int
    seconds: float


class WorkQueue:
    """One worker behind all who ask.

    Args:
        capacity: requests at once, those in work included; beyond it there is `QueueFull`.
        pixels: of all those requests' images together; what bounds the memory.
        gather: seconds that an idle worker waits for more requests of the kind of the first.
        on_batch: called after each batch, on the worker's thread.

    Example:
        >>> from PIL import Image
        >>> from ip2p_lightning.editors.copy_input import CopyInput
        >>> from ip2p_lightning.editors.request import EditRequest
        >>> from ip2p_lightning.serving.engines import EditEngine
        >>> with WorkQueue() as queue:
        ...     request = EditRequest(Image.new("RGB", (96, 64), "teal"), "make it night")
        ...     (pending,) = queue.submit(EditEngine(CopyInput()), [request])
        ...     pending.result(timeout=60).image.size
        (96, 64)
    """

    def __init__(
        self,
        capacity: int = 64,
        pixels: int = 400_000_000,
        gather: float = 0.01,
        on_batch: Callable[[Batch], None] | None = None,
    ) -> None:
        self.capacity, self.pixels, self.gather, self.on_batch = capacity, pixels, gather, on_batch
        self._waiting: list[_Job] = []
        self._running: list[_Job] = []
        self._held = self._held_pixels = 0
        self._seconds_each = 1.0
        self._open = True
        self._changed = threading.Condition()
        self._finishers = ThreadPoolExecutor(2, thread_name_prefix="finish")
        self._worker = threading.Thread(target=self._work, name="worker", daemon=True)
        self._worker.start()

    def __enter__(self) -> Self:
        """The queue itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def submit(
        self,
        engine: Engine[Request, Result],
        requests: Sequence[Request],
        on_step: OnProgress | Sequence[OnProgress] | None = None,
        timeout: float | None = None,
    ) -> list[Future[Result]]:
        """Queue requests, all or none of them.

        Images are made ready here, on the caller's thread; an event loop calls `answer`.

        Args:
            engine: what is to do them.
            requests: any number, of any kinds.
            on_step: called with each one's progress: one for all, or one for each.
            timeout: seconds until `TooLate`.

        Returns:
            A future for each, whose `cancel` works until the result is there, also in the midst of the sampling.

        Raises:
            QueueFull: no room now.
            QueueClosed: the queue takes no more.
            ValueError: more than the queue could ever hold, or a request that the engine refuses.
        """
        weights = [engine.pixels(request) for request in requests]
        self._admit(weights)
        deadline = None if timeout is None else time.monotonic() + timeout
        callbacks = list(on_step) if isinstance(on_step, Sequence) else [on_step] * len(requests)
        jobs: list[_Job] = []
        try:
            for ready, callback in zip(engine.prepare(requests), callbacks, strict=True):
                jobs.append(_Job(engine, ready, Future(), callback, deadline))
        except BaseException:
            self._release(len(weights), sum(weights))
            raise
        for job, weight in zip(jobs, weights, strict=True):
            job.pending.add_done_callback(lambda _, weight=weight: self._release(1, weight))
        with self._changed:
            if self._open:
                self._waiting += jobs
                self._changed.notify_all()
                return [job.pending for job in jobs]
        _fail(jobs, closed := QueueClosed("the service is stopping"))
        raise closed

    async def answer(
        self,
        engine: Engine[Request, Result],
        requests: Sequence[Request],
        on_step: OnProgress | Sequence[OnProgress] | None = None,
        timeout: float | None = None,
    ) -> list[Result]:
        """The results of requests, for event loops; a task that is cancelled cancels them. See `submit`."""
        submitted = asyncio.ensure_future(asyncio.to_thread(self.submit, engine, requests, on_step, timeout))
        try:
            pending = await asyncio.shield(submitted)
        except asyncio.CancelledError:
            submitted.add_done_callback(_cancel_all)
            raise
        try:
            async with asyncio.timeout(timeout):
                return list(await asyncio.gather(*map(asyncio.wrap_future, pending)))
        except TimeoutError as error:
            raise error if isinstance(error, TooLate) else TooLate(_LATE) from error
        finally:
            for one in pending:
                one.cancel()

    def check_room(self, number: int) -> None:
        """Refuse what `submit` would refuse now, before anything is spent on it.

        Raises:
            QueueFull: no room for so many requests.
            QueueClosed: the queue takes no more.
        """
        if not self._open:
            raise QueueClosed("the service is stopping")
        if self._held + number > self.capacity:
            raise self._full()

    @property
    def held(self) -> int:
        """Requests that are not done: waiting, in work, or being made ready."""
        return self._held

    @property
    def waiting(self) -> int:
        """Requests that are not in work yet."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """True if it takes requests and has a worker for them."""
        return self._open and self._worker.is_alive()

    def close(self, timeout: float | None = 30.0) -> None:
        """Take no more requests, finish those there are, and end.

        Args:
            timeout: seconds after which what is not done fails with `QueueClosed`; None waits for all.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._open = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._held, None if end is None else max(0.0, end - time.monotonic()))
            left = [*self._waiting, *self._running]
        _fail(left, QueueClosed("the service stopped before this was done"))
        self._worker.join(10)
        self._finishers.shutdown(wait=True)

    def _admit(self, weights: Sequence[int]) -> None:
        if len(weights) > self.capacity or sum(weights) > self.pixels:
            raise ValueError(
                f"{len(weights)} images of {sum(weights):,} pixels together are more than the queue holds "
                f"({self.capacity} images, {self.pixels:,} pixels); ask for fewer, or for smaller ones"
            )
        with self._changed:
            if not self._open:
                raise QueueClosed("the service is stopping")
            if self._held + len(weights) > self.capacity or self._held_pixels + sum(weights) > self.pixels:
                raise self._full()
            self._held += len(weights)
            self._held_pixels += sum(weights)

    def _full(self) -> QueueFull:
        return QueueFull(min(60, max(1, ceil(self._held * self._seconds_each))))

    def _release(self, number: int, weight: int) -> None:
        with self._changed:
            self._held -= number
            self._held_pixels -= weight
            self._waiting = [job for job in self._waiting if not job.pending.done()]
            self._changed.notify_all()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            if not batch:
                continue
            start = time.monotonic()
            self._run(batch)
            done = Batch(batch[0].engine, len(batch), time.monotonic() - start)
            self._seconds_each += 0.2 * (done.seconds / done.size - self._seconds_each)
            if self.on_batch is not None:
                self.on_batch(done)
            with self._changed:
                self._running = []

    def _next(self) -> list[_Job] | None:
        """The next batch (empty if all of it was given up), None when the queue is closed and empty."""
        with self._changed:
            idle = not self._waiting
            self._changed.wait_for(lambda: self._waiting or not self._open)
            if not self._waiting:
                return None
            if idle and self.gather:
                room = self._waiting[0].engine.batch_size
                self._changed.wait_for(lambda: len(self._waiting) >= room or not self._open, self.gather)
        self.drop_late()
        with self._changed:
            first = self._waiting[0] if self._waiting else None
            self._running = [job for job in self._waiting if first and _together(job, first)]
            self._running = self._running[: first.engine.batch_size] if first else []
            self._waiting = [job for job in self._waiting if job not in self._running]
            return self._running

    def drop_late(self) -> None:
        """Fail what has waited for longer than it was given."""
        now = time.monotonic()
        with self._changed:
            late = [job for job in self._waiting if job.late(now)]
        _fail(late, TooLate(_LATE))

    def _run(self, batch: list[_Job]) -> None:
        """Do a batch; where it fails as a whole, each request alone, so that one hurts no other."""
        try:
            results = batch[0].engine.run([job.ready for job in batch], _Steps(self, batch))
        except EditCancelled:
            return
        except Exception as error:
            if len(batch) == 1:
                log.exception("a request failed")
                _fail(batch, error)
                return
            log.warning("a batch of %d failed (%s); its requests are tried one by one", len(batch), error)
            for job in batch:
                if not job.pending.done():
                    self._run([job])
            return
        for job, raw in zip(batch, results, strict=True):
            if not job.pending.done():
                self._finishers.submit(_finish, job, raw)


class _Steps:
    """Hands the steps of a batch to those whose requests are in it, and ends a batch that no client waits for."""

    def __init__(self, queue: WorkQueue, batch: list[_Job]) -> None:
        self.queue, self.batch = queue, batch

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        self.queue.drop_late()
        for place in step.places:
            job = self.batch[place]
            if job.late(now):
                _fail([job], TooLate(_LATE))
            if job.on_step is not None and not job.pending.done():
                try:
                    job.on_step(Progress(step.number, step.of, lambda place=place: self._image(step, place)))
                except Exception as error:  # a client's own, which must not end the others' work
                    _fail([job], error)
        if all(job.pending.done() for job in self.batch):
            raise EditCancelled("no client waits for it")

    def _image(self, step: Step, place: int) -> Image.Image | None:
        image, job = step.image(place), self.batch[place]
        return None if image is None else job.engine.partial(image, job.ready)


def _together(one: _Job, other: _Job) -> bool:
    return one.engine is other.engine and one.ready.kind == other.ready.kind


def _finish(job: _Job, raw: Any) -> None:
    if job.pending.done():
        return
    try:
        result = job.engine.finish(raw, job.ready)
    except Exception as error:
        log.exception("a result could not be finished")
        _fail([job], error)
        return
    with suppress(InvalidStateError):  # it was cancelled meanwhile
        job.pending.set_result(result)


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        with suppress(InvalidStateError):
            job.pending.set_exception(error)


def _cancel_all(submitted: asyncio.Future[list[Future]]) -> None:
    if not submitted.cancelled() and submitted.exception() is None:
        for pending in submitted.result():
            pending.cancel()
