"""Full-size editing: detail stays, colours follow the small edit, new things arrive."""

from __future__ import annotations

import torch

from ip2p_lightning.editors.full_size import carry_over


def photograph(height: int = 90, width: int = 150) -> torch.Tensor:
    """Smooth colours with a fine texture on top."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 5, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]
    return ((smooth + 0.1 * torch.rand(3, height, width, generator=generator)) * 1.4 - 0.8).clamp(-1, 1)


def small(image: torch.Tensor, side: int = 32) -> torch.Tensor:
    return torch.nn.functional.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]


def test_an_affine_change_of_colours_is_carried_over_exactly():
    image = photograph() * 0.5
    matrix = torch.tensor([[0.5, 0.3, 0.1], [0.2, 0.7, 0.0], [0.1, 0.1, 0.9]])

    def change(x):
        return torch.einsum("oc,chw->ohw", matrix, x) + 0.1

    result = carry_over(image, small(image), change(small(image)), radius=4, epsilon=1e-3)
    assert (result - change(image)).abs().mean() * 127.5 < 0.5


def test_no_change_is_no_change():
    image = photograph()
    torch.testing.assert_close(carry_over(image, small(image), small(image)), image, atol=1e-5, rtol=0)


def test_what_no_map_of_colours_explains_arrives_from_the_small_picture():
    image = photograph()
    before, after = small(image), small(image).clone()
    after[:, 8:24, 8:24] = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    result = carry_over(image, before, after)
    assert (small(result) - after).abs().mean() < 0.5 * (before - after).abs().mean()
