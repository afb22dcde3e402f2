"""The queue: batches of one kind, bounds, results of one's own, cancelling, time-outs, failures, and the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError

import numpy as np
import pytest
from PIL import Image

from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.request import EditRequest
from ip2p_lightning.editors.trained import TrainedEditor
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.errors import QueueClosed, QueueFull, TooLate
from ip2p_lightning.serving.queue import Progress, WorkQueue
from tests.serving.conftest import Held, picture


def ask(instruction: str = "make it winter", steps: int | None = None, size: tuple[int, int] = (16, 16)) -> EditRequest:
    return EditRequest(picture(size), instruction, sampling=SamplingSettings(steps=steps))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_result_does_not_depend_on_who_shares_its_batch(queue: WorkQueue, editor: TrainedEditor) -> None:
    """Other instructions, seeds, scales and branches beside it change it by one grey level at most."""
    requests = [
        EditRequest(picture(seed=number), text, seed=number, sampling=SamplingSettings(text_scale=scale))
        for number, (text, scale) in enumerate([("a", None), ("b", 3.0), ("make it winter", 1.0), ("a tree", 7.5)])
    ]
    sizes: list[int] = []
    queue.on_batch = lambda batch: sizes.append(batch.size)
    results = [one.result(60) for one in queue.submit(EditEngine(editor), requests)]
    until(lambda: bool(sizes))
    assert sizes == [4]
    for request, result in zip(requests, results, strict=True):
        (alone,) = editor.answer([request])
        assert result.request is request
        difference = np.asarray(result.image, np.int16) - np.asarray(alone.image, np.int16)
        assert np.abs(difference).max() <= 1


def test_requests_of_one_kind_are_worked_on_together_in_order_of_arrival(queue: WorkQueue, held: Held) -> None:
    engine = EditEngine(held)
    pending = queue.submit(engine, [ask("first")])
    assert held.started.wait(20)
    for name, steps in [("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 1), ("f", 1), ("g", 1)]:
        pending += queue.submit(engine, [ask(name, steps)])
    held.go.set()
    for one in pending:
        one.result(20)
    assert held.batches == [["first"], ["a", "c", "e", "f"], ["b", "d"], ["g"]]


def test_a_full_queue_says_so_and_takes_all_of_a_submission_or_nothing(held: Held) -> None:
    with WorkQueue(capacity=3, pixels=2000) as queue:
        engine = EditEngine(held)
        pending = queue.submit(engine, [ask(), ask()])
        with pytest.raises(QueueFull, match="ask again in") as error:
            queue.submit(engine, [ask(), ask()])
        assert error.value.retry_after >= 1
        with pytest.raises(QueueFull):  # 512 pixels are held
            queue.submit(engine, [ask(size=(40, 40))])
        with pytest.raises(ValueError, match="more than the queue holds"):
            queue.submit(engine, [ask()] * 4)
        with pytest.raises(ValueError, match="2,500 pixels"):
            queue.submit(engine, [ask(size=(50, 50))])
        pending += queue.submit(engine, [ask()])
        assert queue.held == 3
        held.go.set()
        for one in pending:
            one.result(20)
        until(lambda: queue.held == 0)


def test_a_cancelled_request_leaves_the_batch_and_ends_it_when_it_was_the_last(queue: WorkQueue, held: Held) -> None:
    engine = EditEngine(held)
    one, other = queue.submit(engine, [ask("one", 3), ask("other", 3)])
    assert held.started.wait(20)
    assert one.cancel()
    waiting = queue.submit(engine, [ask("waiting")])[0]
    assert waiting.cancel()
    assert queue.waiting == 0
    held.go.set()
    assert other.result(20).request.instruction == "other"
    held.go.clear()
    held.started.clear()
    steps: list[Progress] = []
    (alone,) = queue.submit(engine, [ask("alone", 1000)], on_step=steps.append)
    assert held.started.wait(20)
    assert alone.cancel()
    held.go.set()
    assert queue.submit(engine, [ask("next")])[0].result(20).request.instruction == "next"
    assert steps == []
    assert held.batches == [["one", "other"], ["alone"], ["next"]]
    with pytest.raises(CancelledError):
        one.result()


def test_what_takes_too_long_is_given_up_waiting_or_in_work(queue: WorkQueue, held: Held) -> None:
    engine = EditEngine(held)
    (running,) = queue.submit(engine, [ask(steps=1000)], timeout=0.05)
    assert held.started.wait(20)
    (waiting,) = queue.submit(engine, [ask("waiting")], timeout=0.01)
    (patient,) = queue.submit(engine, [ask("patient")])
    time.sleep(0.06)
    held.go.set()
    assert patient.result(20).request.instruction == "patient"
    for one in (running, waiting):
        with pytest.raises(TooLate, match="not done in the time"):
            one.result(20)
    assert held.batches[1:] == [["patient"]]


def test_a_request_that_fails_hurts_no_other(queue: WorkQueue, held: Held) -> None:
    held.go.set()
    good, bad, late = queue.submit(EditEngine(held), [ask("good"), ask("fail"), ask("late")])
    assert good.result(20).request.instruction == "good"
    assert late.result(20).request.instruction == "late"
    with pytest.raises(RuntimeError, match="it broke"):
        bad.result(20)

    def angry(progress: Progress) -> None:
        raise KeyError("a client's own mistake")

    good, bad = queue.submit(EditEngine(held), [ask("good"), ask("bad")], on_step=[lambda _: None, angry])
    assert good.result(20).request.instruction == "good"
    with pytest.raises(KeyError):
        bad.result(20)


def test_progress_shows_the_image_so_far_at_the_size_that_was_asked_for(
    queue: WorkQueue, editor: TrainedEditor
) -> None:
    shown: list[tuple[int, int, Image.Image | None]] = []
    photo = picture((40, 24))
    mask = Image.new("L", photo.size, 0)
    mask.paste(255, (0, 0, 20, 24))
    (pending,) = queue.submit(
        EditEngine(editor),
        [EditRequest(photo, "a", mask=mask)],
        on_step=lambda progress: shown.append((progress.number, progress.of, progress.image())),
    )
    result = pending.result(60)
    assert [(number, of) for number, of, _ in shown] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    right = (20, 0, 40, 24)
    for _, _, image in shown:
        assert image is not None
        assert image.size == (40, 24)
        assert image.crop(right).tobytes() == photo.crop(right).tobytes()
    assert shown[-1][2].tobytes() == result.image.tobytes()  # type: ignore[union-attr]
    assert shown[0][2].tobytes() != result.image.tobytes()  # type: ignore[union-attr]


def test_an_image_of_several_requests_is_made_ready_once(editor: TrainedEditor) -> None:
    photo = picture((40, 24))
    one, other = EditEngine(editor).prepare([EditRequest(photo, "a", seed=0), EditRequest(photo, "a", seed=1)])
    assert one.work[1] is other.work[1]
    assert (one.work[0].seed, other.work[0].seed) == (0, 1)
    assert one.kind == other.kind


def test_tasks_wait_for_results_and_cancel_them_when_they_are_cancelled(queue: WorkQueue, held: Held) -> None:
    async def main() -> None:
        engine = EditEngine(held)
        first = asyncio.create_task(queue.answer(engine, [ask("first", 1000)]))
        await asyncio.to_thread(held.started.wait, 20)
        second = asyncio.create_task(queue.answer(engine, [ask("second")], timeout=60))
        with pytest.raises(TooLate):
            await queue.answer(engine, [ask("third")], timeout=0.02)
        first.cancel()
        held.go.set()
        assert [result.request.instruction for result in await second] == ["second"]
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())
    until(lambda: queue.held == 0)
    assert held.batches == [["first"], ["second"]]


def test_a_closing_queue_finishes_what_it_has_and_takes_no_more(held: Held) -> None:
    queue, engine = WorkQueue(), EditEngine(held)
    pending = queue.submit(engine, [ask("one"), ask("two", 2)])
    held.go.set()
    queue.close()
    assert [one.result(0).request.instruction for one in pending] == ["one", "two"]
    assert not queue.alive
    with pytest.raises(QueueClosed, match="is stopping"):
        queue.submit(engine, [ask()])


def test_what_is_not_done_when_the_time_is_up_fails(held: Held) -> None:
    queue, engine = WorkQueue(), EditEngine(held)
    pending = queue.submit(engine, [ask("one", 1000), ask("two", 2)])
    assert held.started.wait(20)
    held.go.set()
    queue.close(0.0)
    for one in pending:
        with pytest.raises(QueueClosed, match="before this was done"):
            one.result(0)


def test_a_request_that_the_engine_refuses_leaves_no_trace(queue: WorkQueue) -> None:
    class Refusing(Held):
        def fit(self, image: Image.Image) -> Image.Image:
            raise ValueError("no such size")

    with pytest.raises(ValueError, match="no such size"):
        queue.submit(EditEngine(Refusing()), [ask()])
    assert queue.held == 0
