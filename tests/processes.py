"""Real processes without the seconds that a new interpreter spends on imports: forked from one that has made them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from ip2p_lightning.cli import main


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def on_ranks(count: int, function: Callable[[], Any]) -> list[Any]:
    """Call a function on so many ranks of one gloo group, forked from here; returns what each returns, by rank.

    Args:
        count: number of ranks.
        function: called without arguments.
    """
    port = free_port()
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(count)]

    def child(rank: int) -> None:
        os.environ.update(
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(count), RANK=str(rank),
            LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(count), GROUP_RANK="0", TORCHELASTIC_RUN_ID="test",
        )  # fmt: skip
        torch.distributed.init_process_group("gloo", rank=rank, world_size=count)
        pipes[rank][1].send_bytes(pickle.dumps(function()))  # `send` would lend tensors instead of giving them away
        torch.distributed.destroy_process_group()

    children = [context.Process(target=child, args=(rank,)) for rank in range(count)]
    for process in children:
        process.start()
    for _, writer in pipes:
        writer.close()
    try:
        return [pickle.loads(reader.recv_bytes()) for reader, _ in pipes]
    finally:
        for process in children:
            process.join(5)
            process.kill()


def in_process(function: Callable[[], Any]) -> int | None:
    """Call a function in a process forked from here; returns its exit code, negative for the signal that killed it."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
    return process.exitcode


def start(
    function: Callable[..., Any], log: Path, environment: Mapping[str, str] | None = None, given: Sequence[Any] = ()
) -> Any:
    """Start a process that is like a command: its output goes to a file, warnings are no errors.

    It is forked from a server that has only imported the package: forked from here, it could wait for ever for a
    lock, or for a pool's thread, that a test before it left behind.

    Args:
        function: what it does, with what it closes over; an integer that it returns is the exit code.
        log: file of what it prints.
        environment: variables that are set for it.
        given: arguments of the function that only `multiprocessing` can send, such as sockets.

    Returns:
        The `multiprocessing` process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"ip2p_lightning.jobs.{name}" for name in ("generate", "evaluate", "serve")])
    variables = {**os.environ, **(environment or {})}
    process = context.Process(target=_run, args=(cloudpickle.dumps(function), log, variables, *given))
    process.start()
    return process


def _run(function: bytes, log: Path, variables: Mapping[str, str], *given: Any) -> None:
    """What the process does; ends it without what the interpreter would clean up."""
    os.environ.clear()
    os.environ.update(variables)
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)  # not the server's
    warnings.simplefilter("default")
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            code = cloudpickle.loads(function)(*given)
        except Exception:
            traceback.print_exc(file=file)  # multiprocessing would, after the file is closed
            code = 1
    os._exit(code if isinstance(code, int) else 0)


def start_job(job: str, words: Sequence[str], log: Path) -> Any:
    """Start a job as its command does; arguments and result as of `start`."""
    return start(lambda: main([job, *words]), log)


def printed_by(function: Callable[[], Any], log: Path) -> str:
    """What a function prints in a process of its own.

    Raises:
        AssertionError: it failed; what it printed is the message.
    """
    process = start(function, log)
    process.join(240)
    assert process.exitcode == 0, log.read_text()
    return log.read_text()
