"""The baseline that changes nothing: what an editor must beat to be of any use."""

from __future__ import annotations

from collections.abc import Sequence

from ip2p_lightning.editors.base import Captions, EditResult, Pictures, check_request


class CopyInput:
    """Returns the originals."""

    def edit(
        self,
        images: Pictures,
        instructions: Sequence[str],
        *,
        seeds: Sequence[int] | int = 0,
        text_scale: float | None = None,
        image_scale: float | None = None,
        steps: int | None = None,
        captions: Sequence[Captions] | None = None,
        truth: Pictures | None = None,
        ids: Sequence[str] | None = None,
    ) -> EditResult[Pictures]:
        """See `Editor.edit`; the pictures keep their size and mode, and nothing else means anything here."""
        check_request(images, instructions, seeds)
        return EditResult(images)
