"""The package's terminal: rich's console, safe for texts of unknown origin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ip2p_lightning.untrusted import printable

READER_LEFT = 128 + 13
"""Exit code of a program that SIGPIPE ended."""
_WIDEST = 10_000  # columns


class Terminal(Console):
    """rich's console for texts of unknown origin: square brackets are no markup, control characters are not sent.

    Args:
        options: rich's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; no table is cut: lines longer than the terminal fold, and a file gets all that the cells need."""
        for table in objects if len(objects) == 1 and isinstance(objects[0], Table) else ():
            least, most = self.measure(table, options=self.options.update(max_width=_WIDEST))
            if (width := least if self.is_terminal else most) > self.width:
                kind = cast("Any", self.color_system)
                wide = Terminal(file=self.file, width=width, force_terminal=self.is_terminal, color_system=kind)
                return super(Terminal, wide).print(table, crop=False, **options)
        return super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """End as the shell says of a program whose reader, such as `head`, has left; rich ends as a failed one."""
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(READER_LEFT) from None

    def render_str(self, text: str, **options: Any) -> Text:
        """A text to be measured and styled, with what is shown in place of each control character."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of `renderable`, `Text` objects included; rich's control segments, such as cursor moves, pass."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
