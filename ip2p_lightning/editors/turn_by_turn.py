"""Sessions of several edits: each line of an instruction is carried out on what the line before left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ip2p_lightning.editors.base import Around
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep


class TurnByTurn(Around):
    """MagicBrush's iterative editing (multi-turn) with any editor; instructions of one line are edited once.

    Args:
        editor: carries out each line. It is given no captions, truth or ids, which are those of the whole session: an
            editor that reads captions (SDEdit, Prompt-to-Prompt, Text2LIVE) says that it needs them.
    """

    reads_truth = False  # type: ignore[assignment]

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`; expressive instructions come on a line each, too.

        All turns of an image use its seed, as MagicBrush's script does.
        """
        lines = [[line for line in request.instruction.splitlines() if line.strip()] for request in requests]
        current = [request.image for request in requests]
        written: list[list[str]] = [[] for _ in requests]
        for turn in range(max(map(len, lines), default=0)):
            places = [place for place, turns in enumerate(lines) if turn < len(turns)]
            asked = [
                replace(requests[place], image=current[place], instruction=lines[place][turn], captions=None, id="")
                for place in places
            ]
            for place, result in zip(places, self.editor.edit_prepared(asked, on_step), strict=True):
                current[place] = result.image
                written[place] += [result.expressive_instruction] * bool(result.expressive_instruction)
        texts = ["\n".join(turns) for turns in written]
        return [EditResult(*parts) for parts in zip(current, requests, texts, strict=True)]
