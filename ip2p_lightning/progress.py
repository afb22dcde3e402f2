"""The package's progress bars: what is done, how much of it, and the time left in words."""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from ip2p_lightning.formatting import duration


class TimeLeft(ProgressColumn):
    """The time left, as people say it: "about 2 h 5 min left"."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Nothing before the first estimate, and at the end."""
        left = task.time_remaining
        return Text("" if task.finished or left is None else f"about {duration(left)} left", style="progress.remaining")


def bar(*more: ProgressColumn, wide: bool = False, **options: Any) -> Progress:
    """A bar with description, count and time left, judged by the last ten minutes: a step may take half of one.

    Args:
        more: columns after these.
        wide: let the bar fill the terminal.
        options: rich's.
    """
    line = BarColumn(bar_width=None) if wide else BarColumn()
    shown = TextColumn("{task.description}"), line, MofNCompleteColumn(), TimeLeft(), *more
    return Progress(*shown, **{"speed_estimate_period": 600.0, **options})
