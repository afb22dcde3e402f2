"""Geometry between an image and its edit, to a fraction of a pixel: shift, zoom, rotation and stretch of what stays.

Phase correlation over a grid of zooms and rotations gives a start; Gauss-Newton steps with Tukey's weights on locally
normalised grey levels, from coarse to fine, give the rest. The normalisation takes out changes of light and colour,
the weights take out what the edit has changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ip2p_lightning.data.images import to_tensor, upright

LONGEST = 512
"""Longer side in pixels at which the last steps look at larger images."""
LEAST_SUPPORT = 0.25
"""Share of the textured area that must agree after alignment; unrelated images stay below."""
_COARSE, _LEAST_SIDE = 96, 16
_ZOOMS = (0.8, 0.86, 0.92, 0.96, 1.0, 1.04, 1.08, 1.15, 1.22)
_TURNS = (-6.0, -3.0, 0.0, 3.0, 6.0)
_LEAST_ERROR = 0.02  # pixels: what interpolation alone does
_NOISE = 3.0 / 127.5  # contrast that counts as nothing, in [-1, 1]
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Alignment:
    """Position of the original's content in the edited image.

    Args:
        shift: to the right and down, in pixels, at the centre.
        zoom: factor of enlargement.
        rotation: clockwise, in degrees.
        stretch: horizontal over vertical enlargement.
        error: standard error of the displacement at the corners, in pixels.
        support: share of the textured area that agrees after alignment.
        size: width and height of the images.
        reason: why nothing could be estimated; "" for an estimate.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    rotation: float = 0.0
    stretch: float = 1.0
    error: float = math.inf
    support: float = 0.0
    size: tuple[int, int] = (0, 0)
    reason: str = ""

    @property
    def found(self) -> bool:
        """True if there is an estimate."""
        return not self.reason

    @property
    def matrix(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f): the original's (x, y), from the upper left pixel, lies at (ax + by + c, dx + ey + f)."""
        turn, (width, height) = math.radians(self.rotation), self.size
        wide, high = self.zoom * math.sqrt(self.stretch), self.zoom / math.sqrt(self.stretch)
        a, b, d, e = wide * math.cos(turn), -wide * math.sin(turn), high * math.sin(turn), high * math.cos(turn)
        x, y = (width - 1) / 2, (height - 1) / 2
        return a, b, x + self.shift[0] - a * x - b * y, d, e, y + self.shift[1] - d * x - e * y

    @property
    def displacement(self) -> float:
        """Root mean square displacement over the whole image, in pixels; NaN without an estimate."""
        return self.distance(Alignment(size=self.size))

    def distance(self, other: Alignment) -> float:
        """Root mean square distance between where two alignments put the same content, in pixels; NaN without both."""
        if not (self.found and other.found):
            return math.nan
        width, height = self.size
        x, y = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9))
        a, b, c, d, e, f = np.subtract(self.matrix, other.matrix)
        return float(np.sqrt(np.mean((a * x + b * y + c) ** 2 + (d * x + e * y + f) ** 2)))

    def __str__(self) -> str:
        if not self.found:
            return self.reason
        parts = [f"{self.shift[0]:+.2f} px right, {self.shift[1]:+.2f} px down, zoom {100 * (self.zoom - 1):+.2f} %"]
        parts += [f"rotation {self.rotation:+.2f} degrees"] if abs(self.rotation) > 0.02 else []
        parts += [f"stretch {100 * (self.stretch - 1):+.2f} %"] if abs(self.stretch - 1) > 0.002 else []
        return f"{', '.join(parts)} (error {self.error:.2f} px)"


@torch.no_grad()
def align(
    original: Image.Image | Tensor, edited: Image.Image | Tensor, *, longest: int = LONGEST, edges: bool | None = None
) -> Alignment:
    """Estimate where the original's content lies in the edited image.

    Args:
        original: PIL RGB, or float [3, H, W] in [-1, 1].
        edited: the same, of the same size.
        longest: longer side in pixels to which larger images are reduced.
        edges: look at the strengths of edges rather than at grey levels; None where grey levels have little in common.

    Returns:
        An `Alignment`; one with a reason where the images have no texture, or too little in common.

    Raises:
        ValueError: images of different sizes.
    """
    before, after = _grey(original), _grey(edited)
    if before.shape != after.shape:
        raise ValueError(f"images of {_size(before)} and {_size(after)} pixels; bring them to one size before aligning")
    size = before.shape[1], before.shape[0]
    if min(size) < _LEAST_SIDE:
        return Alignment(size=size, reason=f"images below {_LEAST_SIDE} pixels are too small to align")
    best, best_fit = None, _Fit(np.zeros(5), math.inf, 0.0)
    for kind in (False, True) if edges is None else (edges,):
        levels = [_Level(before, after, side, kind) for side in _sides(max(size), longest)]
        if not levels[0].textured:
            return Alignment(size=size, reason="an image without texture cannot be aligned")
        for start in _starts(levels[0]):
            if best_fit.support > 0.7:
                break
            fit = _refined(levels, start)
            if best is None or fit.support > best_fit.support + (0.02 if best_fit.support > 0 else 0):
                best, best_fit = levels, fit
        if best_fit.support >= 0.5:
            break  # grey levels agree: edges alone are for sketches and the like
    return best_fit.alignment(size)


def aligned(edited: Image.Image, alignment: Alignment) -> Image.Image:
    """Resample an edited image so that its content lies where the original's does (bicubic, edges repeated).

    Raises:
        ValueError: an alignment without an estimate.
    """
    if not alignment.found:
        raise ValueError(f"there is nothing to align by: {alignment.reason}")
    a, b, c, d, e, f = alignment.matrix
    pad = 2 + math.ceil(_largest(alignment))
    padded = Image.fromarray(np.pad(np.asarray(edited), ((pad, pad), (pad, pad), (0, 0)), mode="edge"))
    # PIL's coordinates are those of pixels' corners
    corner = a, b, c + 0.5 - 0.5 * (a + b) + pad, d, e, f + 0.5 - 0.5 * (d + e) + pad
    return padded.transform(edited.size, Image.Transform.AFFINE, corner, Image.Resampling.BICUBIC)


def _largest(alignment: Alignment) -> float:
    a, b, c, d, e, f = alignment.matrix
    corners = list(product((0, alignment.size[0] - 1), (0, alignment.size[1] - 1)))
    return max(max(abs(a * x + b * y + c - x), abs(d * x + e * y + f - y)) for x, y in corners)


@dataclass(frozen=True)
class _Fit:
    """Parameters (right, down, zoom, rotation, stretch, in units of half the longer side), their error and support."""

    parameters: np.ndarray
    error: float
    support: float

    def alignment(self, size: tuple[int, int]) -> Alignment:
        right, down, zoom, turn, stretch = map(float, self.parameters)
        radius = max(size) / 2
        reason = "" if self.support >= LEAST_SUPPORT else "the images have too little in common to be aligned"
        wide, high = math.hypot(1 + zoom + stretch, turn), math.hypot(1 + zoom - stretch, turn)
        return Alignment(
            shift=(right * radius, down * radius),
            zoom=math.sqrt(wide * high),
            rotation=math.degrees(math.atan2(turn, 1 + zoom)),
            stretch=wide / high,
            error=self.error,
            support=self.support,
            size=size,
            reason=reason,
        )


class _Level:
    """The two images at one resolution, as features, with the coordinates of their pixels."""

    def __init__(self, before: Tensor, after: Tensor, side: int, edges: bool) -> None:
        height, width = before.shape
        scale = min(1.0, side / max(height, width))
        shape = max(_LEAST_SIDE, round(height * scale)), max(_LEAST_SIDE, round(width * scale))
        self.scale = torch.tensor([shape[1] / width, shape[0] / height])
        self.radius = max(height, width) / 2
        self.before, contrast = _features(_resized(before, shape), edges)
        self.after, other = _features(_resized(after, shape), edges)
        self.texture = torch.maximum(contrast, other)
        self.height, self.width = shape
        y, x = torch.meshgrid(torch.arange(shape[0]) * 1.0, torch.arange(shape[1]) * 1.0, indexing="ij")
        self.grid = torch.stack([x, y])  # [2, h, w], pixels of this level
        centre = torch.tensor([(shape[1] - 1) / 2, (shape[0] - 1) / 2]).view(2, 1, 1)
        self.place = (self.grid - centre) / self.scale.view(2, 1, 1) / self.radius  # in units of the radius

    @property
    def textured(self) -> bool:
        return bool((self.texture > 2 * _NOISE).float().mean() > 0.005)

    def warped(self, parameters: np.ndarray) -> tuple[Tensor, Tensor]:
        """The edited features where the parameters say that the original's content lies, and where they are known."""
        right, down, zoom, turn, stretch = map(float, parameters)
        x, y = self.place
        moved = torch.stack([right + (zoom + stretch) * x - turn * y, down + (zoom - stretch) * y + turn * x])
        at = self.grid + moved * self.radius * self.scale.view(2, 1, 1)
        ends = torch.tensor([self.width - 1, self.height - 1]).view(2, 1, 1)
        inside = ((at >= 2) & (at <= ends - 2) & (self.grid >= 2) & (self.grid <= ends - 2)).all(0)
        where = (2 * at / ends - 1).permute(1, 2, 0)[None]
        sampled = F.grid_sample(self.after[None, None], where, "bicubic", "border", align_corners=True)
        return sampled[0, 0], inside

    def jacobian(self, warped: Tensor) -> Tensor:
        """Derivative of the warped features by each parameter, [5, h, w]."""
        down, right = _gradient(0.5 * (warped + self.before))
        right, down = right * self.radius * self.scale[0], down * self.radius * self.scale[1]
        x, y = self.place
        return torch.stack([right, down, right * x + down * y, down * x - right * y, right * x - down * y])


def _refined(levels: list[_Level], start: np.ndarray) -> _Fit:
    parameters, fit = start, _Fit(start, math.inf, 0.0)
    for level in levels:
        for _ in range(20):
            step = _step(level, parameters)
            if step is None:
                return fit
            parameters = parameters + step[0]
            if np.abs(parameters).max() > 0.6:
                return fit  # it has run away
            if np.abs(step[0]).sum() * level.radius * float(level.scale.max()) < 0.003:
                break
        fit = _Fit(parameters, _error(level, parameters), _support(level, parameters))
    return fit


def _step(level: _Level, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """A Gauss-Newton step, with its normal matrix and the gradient of each of 8 x 8 blocks; None without texture."""
    warped, inside = level.warped(parameters)
    residual = (warped - level.before)[inside]
    if len(residual) < 100:
        return None
    # the 35 % of smallest residuals, so that an edit of half the image leaves the scale alone
    spread = max(float(torch.quantile(residual.abs()[:: 1 + len(residual) // 50_000], 0.35)) / 0.4538, 0.02)
    weight = (1 - (residual / (4.685 * spread)).square()).clamp(min=0).square()
    jacobian = level.jacobian(warped)[:, inside].double()
    weighted = jacobian * weight
    normal = (weighted @ jacobian.T).numpy()
    pulls = weighted * residual
    block = (level.grid[1] * 8 // level.height * 8 + level.grid[0] * 8 // level.width).long()[inside]
    gradients = torch.zeros(5, 64, dtype=torch.float64).index_add_(1, block, pulls).numpy()
    scale = np.sqrt(np.diag(normal))
    if not np.isfinite(scale).all() or scale.min() <= 0:
        return None
    damped = normal / np.outer(scale, scale) + 1e-6 * np.eye(5)
    step = -np.linalg.solve(damped, gradients.sum(1) / scale) / scale
    return step, normal, gradients


def _error(level: _Level, parameters: np.ndarray) -> float:
    """Standard error in pixels at the corners, from how much the blocks of the image disagree."""
    step = _step(level, parameters)
    if step is None:
        return math.inf
    _, normal, gradients = step
    inverse = np.linalg.pinv(normal)
    used = int((np.abs(gradients).sum(0) > 0).sum())
    covariance = inverse @ (gradients @ gradients.T) @ inverse * used / max(1, used - 5)
    x, y = (float(level.place[axis].max()) for axis in (0, 1))
    spread = [
        np.trace(jacobian @ covariance @ jacobian.T)
        for jacobian in (np.array([[1, 0, i, -j, i], [0, 1, j, i, -j]]) for i, j in product((-x, x), (-y, y)))
    ]
    return math.hypot(math.sqrt(max(spread)) * level.radius, _LEAST_ERROR)


def _support(level: _Level, parameters: np.ndarray) -> float:
    """Share of the textured area in which the features correlate by more than a half."""
    warped, inside = level.warped(parameters)
    one, other = level.before, warped
    products = [_blurred(values, 4.0) for values in (one, other, one * other, one * one, other * other)]
    covariance = products[2] - products[0] * products[1]
    variances = (products[3] - products[0] ** 2) * (products[4] - products[1] ** 2)
    correlation = covariance / variances.clamp(min=1e-6).sqrt()
    textured = inside & (level.texture > 2 * _NOISE)
    return float((correlation[textured] > 0.5).float().mean()) if textured.any() else 0.0


def _starts(level: _Level) -> Iterator[np.ndarray]:
    """No movement, and the peak of phase correlation over zooms and rotations."""
    yield np.zeros(5)
    window = torch.outer(torch.hann_window(level.height), torch.hann_window(level.width))
    spectrum = torch.fft.rfft2(level.before * window)
    best, found = 0.0, np.zeros(5)
    for zoom, degrees in product(_ZOOMS, _TURNS):
        turn = math.radians(degrees)
        parameters = np.array([0, 0, zoom * math.cos(turn) - 1, zoom * math.sin(turn), 0])
        warped, _ = level.warped(parameters)
        cross = torch.fft.rfft2(warped * window) * spectrum.conj()
        surface = torch.fft.irfft2(cross / cross.abs().clamp(min=1e-6).sqrt(), s=(level.height, level.width))
        place = int(surface.argmax())
        if float(surface.flatten()[place]) > best:
            best = float(surface.flatten()[place])
            down, right = place // level.width, place % level.width
            right, down = _signed(right, level.width), _signed(down, level.height)
            # found on the grid of the original, which the edited image sees turned and enlarged
            x, y = right / float(level.scale[0]) / level.radius, down / float(level.scale[1]) / level.radius
            a, b = zoom * math.cos(turn), zoom * math.sin(turn)
            found = parameters + np.array([a * x - b * y, b * x + a * y, 0, 0, 0])
    yield found


def _signed(place: int, length: int) -> int:
    return place - length if place > length // 2 else place


def _sides(longer: int, longest: int) -> list[int]:
    """Longer sides of the levels, from coarse to fine."""
    sides, side = [], min(longer, longest)
    while side > _COARSE * 1.5:
        sides.append(side)
        side = -(-side // 2)
    return [*sides, side][::-1]


def _features(grey: Tensor, edges: bool) -> tuple[Tensor, Tensor]:
    """Locally normalised grey levels (or strengths of edges), and the local contrast [h, w]."""
    grey = _blurred(grey, 0.8)
    if edges:
        down, right = _gradient(grey)
        grey = _blurred((down.square() + right.square()).sqrt(), 1.0)
    mean = _blurred(grey, 6.0)
    contrast = (_blurred((grey - mean).square(), 6.0)).clamp(min=0).sqrt()
    return (grey - mean) / (contrast + _NOISE / (4 if edges else 1)), contrast * (4 if edges else 1)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    reach_y, reach_x = min(reach, image.shape[0] - 1), min(reach, image.shape[1] - 1)
    padded = F.pad(image[None, None], (reach_x, reach_x, reach_y, reach_y), mode="reflect")
    wide = F.conv2d(padded, _centre(kernel, reach_x).view(1, 1, 1, -1))
    return F.conv2d(wide, _centre(kernel, reach_y).view(1, 1, -1, 1))[0, 0]


def _centre(kernel: Tensor, reach: int) -> Tensor:
    cut = kernel[len(kernel) // 2 - reach : len(kernel) // 2 + reach + 1]
    return cut / cut.sum()


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences, down and to the right."""
    down, right = torch.gradient(image)
    return down, right


def _resized(image: Tensor, shape: tuple[int, int]) -> Tensor:
    if image.shape == shape:
        return image
    return F.interpolate(image[None, None], shape, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _grey(image: Image.Image | Tensor) -> Tensor:
    """Luma [H, W] in [-1, 1]."""
    pixels = image if isinstance(image, Tensor) else to_tensor(upright(image))
    pixels = pixels.detach().to("cpu", torch.float32)
    return (pixels * torch.tensor(_LUMA).view(3, 1, 1)).sum(0) if len(pixels) == 3 else pixels[0]


def _size(image: Tensor) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
