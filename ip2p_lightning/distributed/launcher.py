"""Start the other ranks of a job on the job's own configuration, and notice when one of them ends.

Lightning starts them by running the command line again. Under `ip2p train -m` that command is the whole sweep, so the
ranks of one job would train with each other's settings, in other folders. Here a rank is given the job's resolved
configuration, whatever composed it: a sweeper, a launcher, or Python.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.training.stop_request import INTERRUPTED, STOPPED

log = logging.getLogger(__name__)

READY = "IP2P_RANK_READY"
"""Environment variable of a started rank: the file descriptor on which it says that it is about to join the others."""

_ERROR = re.compile(r"^[\w.]+(Error|Exception)\b.*$", re.MULTILINE)  # the last lines of a traceback begin so
_ORDERLY = (0, STOPPED, INTERRUPTED)  # exit codes of ranks that were done, or were asked to stop
_POLL = 0.5  # seconds between two looks at the ranks
_NOTICE = 10.0  # seconds in which a rank whose connection broke is expected to end
_GRACE = 60.0  # seconds after which a process that waits for a dead rank is ended
_END = 120.0  # seconds that the others may take to end after rank 0


def _free_port() -> int:
    """A port for the ranks to meet at, on which this process's first rank will listen in some seconds.

    Ports that the system hands out by itself could be gone by then, so it is one below those. Where the search begins
    depends on the process, so that jobs that begin side by side take different ones.
    """
    ports = range(10_000, 30_000)
    for attempt in range(len(ports)):
        port = ports[(os.getpid() * 37 + attempt) % len(ports)]
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port between {ports[0]} and {ports[-1]} is free for the ranks to meet at")


class RankLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher with ranks that run a job by `config`, write `rank-<n>.log` in its folder, and are watched.

    Where something else has started the processes (torchrun, SLURM), it starts none.

    Args:
        launcher: Lightning's own, which it replaces.
        config: the job's configuration; has `output_dir` and `threads`.
        entry: what a rank calls with the configuration: "module:function".
    """

    def __init__(self, launcher: _SubprocessScriptLauncher, config: DictConfig, entry: str) -> None:
        super().__init__(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)
        self.config, self.entry = config, entry
        self._over = threading.Event()
        self._died = threading.Event()
        self._dead = 0

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the other ranks unless they are there, and call `function` in this one.

        Raises:
            ChildProcessError: a rank ended before it was ready; names the rank, its last words and its log.
        """
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._start()
        if not self.config.threads:
            _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)

    def failure(self) -> str | None:
        """Error of the rank that died first, if one dies within the next seconds."""
        return self._words(self._dead) if self._died.wait(_NOTICE) else None

    def end(self, succeeded: bool) -> None:
        """See the other ranks out: wait for them after a success, kill them otherwise."""
        self._over.set()
        for rank, process in self._ranks():
            if not succeeded:
                process.kill()
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                log.warning("rank %d did not end within %.0f s after the job and was killed", rank, _END)
                process.kill()
            if succeeded and process.returncode not in _ORDERLY:
                log.warning("the job is done, but %s", self._words(rank))

    def _start(self) -> None:
        self._check_can_spawn_children()
        environment = self.cluster_environment
        if self.num_nodes == 1:  # else the machines have agreed on one; a port in the environment may be another job's
            os.environ["MASTER_PORT"] = str(_free_port())
        os.environ |= {
            "MASTER_ADDR": environment.main_address,
            "MASTER_PORT": str(environment.main_port),
            "NODE_RANK": str(environment.node_rank()),
            "LOCAL_RANK": str(environment.local_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        Path(self.config.output_dir).mkdir(parents=True, exist_ok=True)
        text = OmegaConf.to_yaml(self.config, resolve=True)
        ready = [self._process(local_rank, text) for local_rank in range(1, self.num_processes)]
        for (rank, process), pipe in zip(self._ranks(), ready, strict=True):
            with os.fdopen(pipe, "rb") as reader:
                if not reader.read(1):  # closed without a word
                    process.wait()
                    raise ChildProcessError(self._words(rank))
        threading.Thread(target=self._watch, daemon=True, name="ranks").start()

    def _process(self, local_rank: int, config: str) -> int:
        """Start a rank; returns the file descriptor on which it says that it is ready."""
        reader, writer = os.pipe()
        here = os.getcwd()
        environment = {
            **os.environ,
            "LOCAL_RANK": str(local_rank),
            "PYTHONPATH": os.pathsep.join(path or here for path in sys.path),  # finds what this process finds
            READY: str(writer),
        }
        command = [sys.executable, "-P", "-m", "ip2p_lightning.distributed.rank", self.entry]
        with tempfile.TemporaryFile() as given, self._log(self._rank(local_rank)).open("ab") as written:
            given.write(config.encode())
            given.seek(0)
            streams: dict[str, Any] = {"stdin": given, "stdout": written, "stderr": subprocess.STDOUT}
            self.procs.append(subprocess.Popen(command, env=environment, pass_fds=[writer], **streams))
        os.close(writer)
        return reader

    def _watch(self) -> None:
        """End this process if it goes on waiting for a rank that has died, as it may in NCCL's collectives."""
        while not (dead := [rank for rank, process in self._ranks() if process.poll() not in (None, *_ORDERLY)]):
            if self._over.wait(_POLL):
                return
        self._dead = dead[0]
        self._died.set()
        for process in self.procs:  # those that wait for the dead one; their connections to this process close
            process.kill()
        if not self._over.wait(_GRACE):
            words = f"{self._words(self._dead)}\nThis process still waits for it and ends, too."
            print(words, file=sys.stderr, flush=True)
            os._exit(1)

    def _ranks(self) -> list[tuple[int, subprocess.Popen]]:
        """The started ranks by their number among all machines' ranks."""
        return [(self._rank(local_rank), process) for local_rank, process in enumerate(self.procs, start=1)]

    def _rank(self, local_rank: int) -> int:
        return self.cluster_environment.node_rank() * self.num_processes + local_rank

    def _log(self, rank: int) -> Path:
        return Path(self.config.output_dir) / f"rank-{rank}.log"

    def _words(self, rank: int) -> str:
        """Exit status of a rank, and its error or last line."""
        code = dict(self._ranks())[rank].returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if code == -9:
            how += " (perhaps for lack of memory)"
        text = self._log(rank).read_text(encoding="utf-8", errors="replace").strip()
        errors = list(_ERROR.finditer(text))
        last = " ".join(text[errors[-1].start() :].split()) if errors else text.rsplit("\n", 1)[-1]
        return f"rank {rank} {how}{f': {last[:500]}' if last else ''}\nWhat it wrote is in {self._log(rank)}"


def say_ready() -> None:
    """Tell the process that started this one, if it waits for that, that this one is about to join the others."""
    descriptor = os.environ.pop(READY, None)
    if descriptor is not None:
        os.write(int(descriptor), b"1")
        os.close(int(descriptor))
