"""A live bar for work that is counted in images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from ip2p_lightning.progress import bar


@contextmanager
def edit_progress(console: Console, text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on the terminal while inside; yields the function that moves it by a number of images."""
    with bar(console=console, transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda pictures: progress.advance(task, pictures)
