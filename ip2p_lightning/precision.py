"""The arithmetic in which a job computes: a name of Lightning's, or `auto` for the fastest of this machine.

bfloat16 saves a quarter to a half of a step where the processor or card has instructions for it, and takes many times
as long where it has none and emulates them. So `auto` tries: it times a small network in both.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import torch
import torch.nn.functional as F

log = logging.getLogger(__name__)

AUTO, FULL, MIXED = "auto", "32-true", "bf16-mixed"
_TYPES = {FULL: None, MIXED: torch.bfloat16, "16-mixed": torch.float16}
_SHORT = {"None": FULL, "32": FULL, "bf16": MIXED, "16": "16-mixed"}
_WORDS = {"cpu": "processor", "cuda": "GPU"}
_REPEATS = 4
_SLOW = 1.3
"""Times as long as in 32-true from which a user should hear of it."""


def device_type(accelerator: str) -> str:
    """The type of device that a trainer's `accelerator` or a job's `device` means: cpu, cuda, mps."""
    if accelerator in ("auto", "gpu"):
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    return str(accelerator).split(":")[0]


@lru_cache
def fastest(device: str) -> str:
    """The fastest arithmetic of a type of device in which every network of the package trains.

    float16 is not among them: its gradients need scaling, which gradient clipping and fused optimizers do not allow.

    Args:
        device: "cpu", "cuda" or "mps".
    """
    if device == "cuda":
        return MIXED if torch.cuda.is_bf16_supported(including_emulation=False) else FULL
    return MIXED if device == "cpu" and slowdown(MIXED, device) < 1.1 else FULL


@lru_cache
def slowdown(precision: str, device: str) -> float:
    """Slowdown against 32-true of a convolution and a linear layer with their gradients on this machine.

    The least processor time of some repeats, so that other work on the machine hardly counts. Draws no random number.

    Args:
        precision: "bf16-mixed" or "16-mixed".
        device: "cpu"; others run ahead of the clock.
    """
    least, threads = {FULL: float("inf"), precision: float("inf")}, torch.get_num_threads()
    torch.set_num_threads(1)  # several that wait for a busy machine would be timed waiting
    with torch.inference_mode(False), torch.enable_grad():
        image = torch.linspace(-1, 1, 4 * 64 * 16 * 16, device=device).view(4, 64, 16, 16)
        kernel = torch.linspace(-0.05, 0.05, 64 * 64 * 9, device=device).view(64, 64, 3, 3).requires_grad_()
        matrix = torch.linspace(-0.05, 0.05, 512 * 64, device=device).view(512, 64).requires_grad_()
        for _ in range(_REPEATS):
            for name in least:
                began = time.process_time()
                with arithmetic(name, device):
                    F.linear(F.conv2d(image, kernel, padding=1).flatten(2).mT, matrix).float().sum().backward()
                least[name] = min(least[name], time.process_time() - began)
    torch.set_num_threads(threads)
    return least[precision] / least[FULL]


def choose(precision: str | int | None, accelerator: str, recorded: str | None = None) -> str:
    """The arithmetic that is meant, said in a line where it was chosen here.

    Args:
        precision: a name of Lightning's, or "auto".
        accelerator: of the trainer, or a device.
        recorded: in which a run that goes on has computed so far; `auto` stays with it.

    Returns:
        A name of Lightning's.
    """
    device, asked = device_type(accelerator), _SHORT.get(str(precision), str(precision))
    if asked == AUTO:
        chosen = recorded or fastest(device)
        why = "as the run that goes on" if recorded else f"the fastest on this machine's {_WORDS.get(device, device)}"
        log.info("precision: %s, %s", chosen, why)
        return chosen
    if recorded and asked != recorded:
        log.warning(
            "precision=%s, but the run that goes on computed in %s so far: it will not end with the bits of one that "
            "was never interrupted; precision=auto stays with %s",
            asked,
            recorded,
            recorded,
        )
    _warn_of_slowness(asked, device)
    return asked


@lru_cache  # once in a process
def _warn_of_slowness(precision: str, device: str) -> None:
    if device == "cpu" and _TYPES.get(precision) and (times := slowdown(precision, device)) > _SLOW:
        log.warning("%s is %.0f times slower than 32-true on this processor: precision=auto", precision, times)


def arithmetic(precision: str, device: str) -> AbstractContextManager[object]:
    """In which an editor computes inside a `with` block; weights stay as they are.

    Args:
        precision: "32-true", "bf16-mixed" or "16-mixed".
        device: "cpu", "cuda" or "mps".

    Raises:
        ValueError: another name.
    """
    if precision not in _TYPES:
        raise ValueError(f"precision={precision}: choose {AUTO}, {', '.join(_TYPES)}")
    kind = _TYPES[precision]
    return torch.autocast(device, dtype=kind) if kind else nullcontext()
