"""A rank that another one started: `python -m ip2p_lightning.distributed.rank MODULE:FUNCTION`."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import time

from omegaconf import DictConfig, OmegaConf


def main() -> None:
    """Call the function with the configuration on the standard input (YAML, resolved), as the environment's rank."""
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True, name="parent").start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stdout)
    module, _, function = sys.argv[1].partition(":")
    work = getattr(importlib.import_module(module), function)  # seconds: after the thread that watches
    config = OmegaConf.create(sys.stdin.read())
    assert isinstance(config, DictConfig)
    work(config)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, rather than wait for it in a collective."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main()
