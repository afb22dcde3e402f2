"""Emu Edit's test set (Sheynin et al. 2024): photographs, instructions and captions, but no true edited images."""

from __future__ import annotations

from pathlib import Path

from ip2p_lightning.data.encoded import EncodedPair
from ip2p_lightning.data.formats.columns import Columns
from ip2p_lightning.data.formats.hugging_face import HuggingFaceSource

_COLUMNS = {
    "original_image": "image",
    "edited_image": "image",
    "instruction": "instruction",
    "original_caption": "input_caption",
    "edited_caption": "output_caption",
    "kind": "task",
    "id": "idx",
    "group": "hash",
}


class EmuEditSource(HuggingFaceSource):
    """The pairs of `facebook/emu_edit_test_set`'s parquet files, each with its input in the place of the truth.

    That is what the paper compares with: its L1 and DINO are distances of the edited image to the input, as CLIP-im
    is, and CLIP-dir and CLIP-out need captions alone. So `L1`, `ImageSimilarity` and `InputSimilarity` give the
    paper's figures; what they say of copying and of the truth is without meaning here.

    Args:
        path: folder of the parquet files, or one of them.
        split: "test" or "validation".
        licence: of the images.

    Raises:
        FileNotFoundError: no such file.
        ValueError: files without the columns, or none of the split.
    """

    def __init__(self, path: str | Path, split: str = "test", licence: str = "CC BY-NC 4.0") -> None:
        super().__init__(path, Columns.of(_COLUMNS, metadata=("hash",)), licence)
        self.name = f"Emu Edit {split} (no truth: compared with the input)"
        self.split = split
        self._rows = [row for row in range(super().__len__()) if self.split_of(row) in ("", split)]
        if not self._rows:
            raise ValueError(f"{path} has no file of the {split} split; choose split=validation or test")

    def __len__(self) -> int:
        return len(self._rows)

    def fingerprint(self) -> str:
        return f"{super().fingerprint()} {self.split}"

    def encoded(self, index: int) -> EncodedPair:
        """Pair ``index`` with the bytes of its image on both sides."""
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.path}")
        return super().encoded(self._rows[index])
