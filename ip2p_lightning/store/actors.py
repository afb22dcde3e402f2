"""Parts made by a pool of Ray actors: each builds its models once, and takes part after part as it becomes free."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Worker = Callable[[str], object]
"""Makes the part of a key; a part that is there, or that somebody else makes, it leaves."""
_STORE_BYTES = 128 * 2**20  # keys alone travel through Ray: results go into the store


class ActorError(RuntimeError):
    """An actor could not build its models, or a part of the work failed in it; the message is its error."""


@contextmanager
def cluster(actors: int, gpus: float = 0.0, address: str | None = None) -> Iterator[None]:
    """Connect to Ray, or start it on this machine and end it; does nothing where this process has it already.

    Args:
        actors: how many there will be.
        gpus: share of an accelerator that each of them gets.
        address: of a Ray cluster ("auto" for the one that this machine is in); None starts one here.

    Raises:
        ImportError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # an actor that asks for no accelerator sees all
    try:
        import ray
    except ImportError as error:
        raise ImportError("executor=ray needs Ray: pip install 'ip2p-lightning[ray]'") from error
    if ray.is_initialized():
        yield
        return
    here: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    if not gpus:
        here["num_cpus"] = max(actors + 1, os.cpu_count() or 1)  # one for Ray Data's own tasks
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **({} if address else here))
    try:
        yield
    finally:
        ray.shutdown()


def in_actors(make: Callable[[], Worker], keys: Sequence[str], actors: int, gpus: float = 0.0) -> None:
    """Have all parts made, inside `cluster`, and return when they are there.

    Ray Data hands out keys as actors ask for them (its backpressure), and puts work of an actor that dies on another.

    Args:
        make: builds models and returns what makes a part; is pickled, and called once in each actor.
        keys: of the parts.
        actors: how many there are at most.
        gpus: share of an accelerator that each actor gets.

    Raises:
        ActorError: see there.
    """
    import ray.data
    from ray.exceptions import RayError

    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"key": key} for key in keys], override_num_blocks=len(keys))
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=actors, max_tasks_in_flight_per_actor=2)
    done = rows.map_batches(_Actor, fn_constructor_args=(make,), batch_size=1, compute=pool, num_cpus=1, num_gpus=gpus)
    try:
        done.materialize()
    except RayError as error:
        raise ActorError(_last_line(error)) from error


class _Actor:
    def __init__(self, make: Callable[[], Worker]) -> None:
        self.worker = make()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for key in batch["key"]:
            self.worker(str(key))
        return {"key": batch["key"]}


def _last_line(error: BaseException) -> str:
    """Ray's texts end with the traceback of the process in which it happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
