"""Guidance with scales of each row's own: many points of a grid of (s_T, s_I), and many images, in one batch.

The sweeps of InstructPix2Pix (figures 4 and 8) edit the same images from the same noise under many scales. Before the
first step the points do not differ yet: all those of an image share three evaluations, which are made once. After
it an evaluation is made where its factor is not zero, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ip2p_lightning.diffusion.guidance import Denoise, TwoScaleGuidance
from ip2p_lightning.states import States


class PerSampleGuidance:
    """Stands in for a `TwoScaleGuidance` in `Sampler` for one batch, whose rows are guided each in its own way.

    Args:
        rows: guidance of each of the batch's N rows.
        pictures: N numbers; rows with one number have the same image, text and initial noise.

    Raises:
        ValueError: lengths that do not agree.
    """

    def __init__(self, rows: Sequence[TwoScaleGuidance], pictures: Sequence[int]) -> None:
        if len(rows) != len(pictures):
            raise ValueError(f"{len(rows)} rows of guidance but {len(pictures)} images; give one number a row")
        self.rows = list(rows)
        self._first = [list(pictures).index(picture) for picture in pictures]

    def __call__(
        self,
        denoise: Denoise,
        noisy: Tensor,
        original: Tensor,
        timesteps: Tensor,
        states: States,
        null: States,
        progress: float = 0.0,
    ) -> Tensor:
        """Guided prediction [N, C, h, w] from one batched call; arguments as `TwoScaleGuidance.__call__`."""
        # In the first step all rows of an image have the same noise, so that its first row is evaluated for all of
        # them.
        source = self._first if progress == 0 else list(range(len(self.rows)))
        zeros = torch.zeros_like(original)
        taken: list[list[int]] = []  # by branch: rows that are run
        given: list[tuple[Tensor, States]] = []  # the image and the text they see
        used: list[tuple[list[int], list[int], list[float]]] = []  # rows, places of their results, factors
        for (image, text), factors in self._factors(progress).items():
            run = sorted({source[row] for row in factors})
            place = {row: number for number, row in enumerate(run)}
            taken.append(run)
            given.append(((original if image else zeros)[run], (states if text else null)[run]))
            used.append((list(factors), [place[source[row]] for row in factors], list(factors.values())))
        everything = [row for run in taken for row in run]
        prediction = denoise(
            noisy[everything],
            torch.cat([picture for picture, _ in given]),
            timesteps[everything],
            States.cat([text for _, text in given]),
        )
        # Every branch of a row is added with the row's own factor: IP2P eq. 3 with other scales in each row.
        guided = torch.zeros_like(noisy)
        for part, (rows, places, factors) in zip(prediction.split([len(run) for run in taken]), used, strict=True):
            weights = torch.tensor(factors, dtype=part.dtype, device=part.device)[:, None, None, None]
            guided[rows] += weights * part[places]
        return guided

    def _factors(self, progress: float) -> dict[tuple[bool, bool], dict[int, float]]:
        """(Sees the original, sees the text) -> row -> factor, where it is not zero."""
        found: dict[tuple[bool, bool], dict[int, float]] = {}
        for row, guidance in enumerate(self.rows):
            for branch in guidance.branches(progress):
                found.setdefault((branch.image, branch.text), {})[row] = branch.coefficient
        return found
