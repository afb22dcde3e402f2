"""Time left, in words."""

from __future__ import annotations

import io

from ip2p_lightning.progress import TimeLeft, bar
from ip2p_lightning.terminal import Terminal


def test_the_time_left_is_in_hours_and_minutes() -> None:
    clock = iter([0.0] + [60.0 * step for step in range(1, 100)])
    shown = bar(console=Terminal(file=io.StringIO()), get_time=lambda: next(clock), auto_refresh=False)
    name = shown.add_task("training", total=4000)
    (task,) = shown.tasks
    assert TimeLeft().render(task).plain == ""
    for _ in range(4):
        shown.advance(name, 4)
    left = TimeLeft().render(task).plain
    assert left.startswith("about ")
    assert " h " in left
    assert left.endswith(" min left")
    shown.update(name, completed=4000)
    assert TimeLeft().render(task).plain == ""
