"""The fastest arithmetic is found by trying, respected where it is chosen, and kept where a run goes on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from ip2p_lightning import precision
from ip2p_lightning.precision import arithmetic, choose, fastest, slowdown


@pytest.fixture
def emulating(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor that emulates bfloat16."""
    monkeypatch.setattr(precision, "slowdown", lambda name, device: 13.0)
    for cached in (fastest, precision._warn_of_slowness):
        cached.cache_clear()
    yield
    for cached in (fastest, precision._warn_of_slowness):
        cached.cache_clear()


@pytest.mark.numeric
def test_the_probe_is_right_about_this_processor() -> None:
    """By another measurement: matrix products alone, of another size."""

    def seconds(name: str) -> float:
        a, b = torch.full((768, 768), 0.01), torch.full((768, 768), 0.02)
        best = float("inf")
        for _ in range(5):
            began = time.process_time()
            with arithmetic(name, "cpu"):
                a @ b
            best = min(best, time.process_time() - began)
        return best

    ratio = seconds("bf16-mixed") / seconds("32-true")
    if ratio < 0.9 or ratio > 1.5:  # else either is right
        assert fastest("cpu") == ("bf16-mixed" if ratio < 1 else "32-true")


def test_without_bfloat16_instructions_it_is_float32() -> None:
    """OneDNN is held to AVX2, as on processors of some years ago."""
    limited = os.environ | {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    code = "from ip2p_lightning.precision import *; print(choose('auto', 'cpu'), round(slowdown('bf16-mixed', 'cpu')))"
    name, times = subprocess.run(
        [sys.executable, "-c", code], env=limited, capture_output=True, text=True
    ).stdout.split()
    assert name == "32-true"
    assert int(times) >= 2


def test_the_probe_leaves_no_trace() -> None:
    torch.set_num_threads(2)
    try:
        before = torch.get_rng_state()
        with torch.inference_mode():
            assert slowdown.__wrapped__("bf16-mixed", "cpu") > 0
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == 2
        assert not torch.is_autocast_enabled("cpu")
    finally:
        torch.set_num_threads(1)


def test_auto_says_what_it_chose_and_stays_with_a_run_that_goes_on(
    emulating: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ip2p_lightning")
    assert choose("auto", "cpu") == "32-true"
    assert "precision: 32-true, the fastest on this machine's processor" in caplog.text
    assert choose("auto", "cpu", recorded="bf16-mixed") == "bf16-mixed"
    assert "bf16-mixed, as the run that goes on" in caplog.text
    assert choose("32-true", "cpu", recorded="bf16-mixed") == "32-true"
    assert "precision=32-true, but the run that goes on computed in bf16-mixed" in caplog.text


def test_a_choice_is_respected_and_a_slow_one_named_once(emulating: None, caplog: pytest.LogCaptureFixture) -> None:
    assert [choose("bf16-mixed", "cpu"), choose("bf16", "cpu"), choose(None, "cpu"), choose(32, "cpu")] == [
        "bf16-mixed", "bf16-mixed", "32-true", "32-true"
    ]  # fmt: skip
    assert caplog.text.count("bf16-mixed is 13 times slower than 32-true on this processor: precision=auto") == 1
    assert choose("64-true", "cpu") == "64-true", "Lightning knows more names"


def test_graphics_cards_take_bfloat16_if_they_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert fastest.__wrapped__("cuda") == expected
    assert fastest("mps") == "32-true"


def test_an_unknown_arithmetic_is_refused() -> None:
    with pytest.raises(ValueError, match="precision=fp8: choose auto, 32-true, bf16-mixed, 16-mixed"):
        arithmetic("fp8", "cpu")
