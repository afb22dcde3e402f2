"""The baseline that changes nothing: an editor must beat it to be of any use."""

from __future__ import annotations

from collections.abc import Sequence

from ip2p_lightning.editors.base import Editor
from ip2p_lightning.editors.request import EditRequest, EditResult, OnStep


class CopyInput(Editor):
    """Returns the originals."""

    def edit_prepared(self, requests: Sequence[EditRequest], on_step: OnStep | None = None) -> list[EditResult]:
        """See `Editor.edit_prepared`."""
        return [EditResult(request.image, request) for request in requests]
