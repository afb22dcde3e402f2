"""The bar on a terminal, the lines elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from ip2p_lightning.callbacks.progress import RunProgress


def test_lines_without_a_terminal(module, data, trainer, capsys):
    trainer(RunProgress(interval=0, line_interval=0), enable_progress_bar=True, max_steps=3).fit(module, data)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert [line.split(",")[0] for line in lines] == ["step 1/3", "step 2/3", "step 3/3", "step 3/3"]
    assert all("editing_loss" in line for line in lines)


def test_a_bar_that_counts_the_whole_run_across_epochs(module, data, trainer):
    progress = RunProgress(interval=0)
    screen = io.StringIO()
    progress._console = Console(file=screen, force_terminal=True, width=120)
    trainer(progress, enable_progress_bar=True, max_steps=10).fit(module, data)  # 8 steps an epoch
    assert "10/10" in screen.getvalue()
    assert "editing_loss" in screen.getvalue()


def test_a_run_counted_in_epochs(module, data, trainer, capsys):
    run = trainer(RunProgress(interval=0, line_interval=0), enable_progress_bar=True, max_epochs=1, max_steps=-1)
    run.fit(module, data)
    assert "step 8/8" in capsys.readouterr().out


def test_silence_when_disabled(module, data, trainer, capsys):
    progress = RunProgress(interval=0, line_interval=0)
    run = trainer(progress, enable_progress_bar=True)
    progress.setup = lambda *args, **kwargs: progress.disable()  # as on another rank
    run.fit(module, data)
    assert "step" not in capsys.readouterr().out
