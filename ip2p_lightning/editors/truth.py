"""The editor that knows the answer: what a metric says of it is the best that any editor can reach."""

from __future__ import annotations

from collections.abc import Sequence

from ip2p_lightning.editors.base import Captions, EditResult, Pictures, check_request


class Truth:
    """Returns the true edited pictures."""

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
        """See `Editor.edit`; the true pictures keep their size and mode.

        Raises:
            ValueError: no truth, or not one for each picture.
        """
        check_request(images, instructions, seeds)
        if truth is None:
            raise ValueError("Truth returns the true edited pictures, and none were given; pass truth=...")
        if len(truth) != len(images):
            raise ValueError(f"Truth was given {len(truth)} true pictures for {len(images)} originals; give one each")
        return EditResult(truth)
