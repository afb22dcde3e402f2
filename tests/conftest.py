"""Shared by every test: one thread, fixed seeds, no network, and the path of optional real data."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("suite", deadline=None)  # a busy machine is slow now and then
settings.load_profile("suite")

RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Start every test from the same global random state."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (libraries draw from the global state)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_ranks() -> Iterator[None]:
    """Forget what Lightning's launchers leave in the environment, or the next test's ranks meet at this one's port."""
    before = {name: os.environ.get(name) for name in RANK_VARIABLES}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("cc12m_test")` is the folder of that real data set beside the checkout; skips if absent."""

    def folder(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"real data {name!r} is not in {SHARED_DATA}; put it there to run this test")
        return path

    return folder
