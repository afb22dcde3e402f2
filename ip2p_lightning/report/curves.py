"""Loss curves from Lightning's metrics.csv as small SVG images that take their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ip2p_lightning.evaluation.run_values import logged_rows

WIDTH, HEIGHT = 420, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 26
_POINTS = 240


@dataclass(frozen=True)
class Curve:
    """One logged quantity over the steps of a run.

    Args:
        name: as it was logged, without the "train/" or "val/" prefix.
        steps: [N] optimizer steps, ascending.
        values: [N] finite values.
        held_out: whether it was measured on validation pairs.
    """

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]
    held_out: bool = False


def read_curves(*files: str | Path) -> list[Curve]:
    """The losses in a metrics.csv: every `train/*loss*` and `val/*loss*` column, "loss" itself only if alone.

    Args:
        files: one, or those of a run that was interrupted and resumed, in order; what an earlier one logged after the
            step at which the next begins is left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file without a `step` column.
    """
    rows: list[dict[str, float]] = []
    for file in files:
        new = [row for row in logged_rows(Path(file)) if "step" in row]
        begin = min((row["step"] for row in new), default=math.inf)
        rows = [row for row in rows if row["step"] < begin] + new
    names = list(dict.fromkeys(name for row in rows for name in row))
    curves = []
    for prefix in ("train/", "val/"):
        losses = [name for name in names if name.startswith(prefix) and "loss" in name and not name.endswith("_epoch")]
        parts = [name for name in losses if name.removeprefix(prefix).removesuffix("_step") != "loss"]
        for name in parts or losses:
            points = [(row["step"], row[name]) for row in rows if name in row]
            points = sorted(point for point in points if math.isfinite(point[1]))
            if len(points) > 1:
                label = name.removeprefix(prefix).removesuffix("_step").replace("_", " ")
                steps, values = zip(*points, strict=True)
                curves.append(Curve(label, steps, values, held_out=prefix == "val/"))
    return curves


def log_files(run: Path) -> list[Path]:
    """Logs of the CSV logger in a run folder, those of interrupted attempts first."""
    return sorted(run.glob("metrics-*/metrics.csv")) + sorted(run.glob("metrics/metrics.csv"))


def smoothed(values: Sequence[float], window: int) -> np.ndarray:
    """Centred moving average [N] over at most `window` values, shorter at both ends."""
    array = np.asarray(values, dtype=np.float64)
    total = np.concatenate([[0.0], np.cumsum(array)])
    places = np.arange(len(array))
    low, high = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(array))
    return (total[high] - total[low]) / (high - low)


def curve_svg(train: Curve, held_out: Curve | None = None) -> Markup:
    """One small SVG: the raw loss faintly, its moving average, the held-out loss as dots; logarithmic if all are > 0.

    The colours are the page's: CSS classes `raw`, `line`, `dots`, `grid` and `tick`.

    Args:
        train: training loss.
        held_out: the same loss on validation pairs.
    """
    mean = smoothed(train.values, max(3, len(train.values) // 30))
    series = np.concatenate([mean, np.asarray(held_out.values if held_out else [], dtype=np.float64)])
    logarithmic = bool((np.asarray(train.values) > 0).all() and (series > 0).all())
    low, high = _limits(series, logarithmic)
    last = max(train.steps[-1], held_out.steps[-1] if held_out else 0)

    def x(steps: Sequence[float]) -> np.ndarray:
        return _LEFT + np.asarray(steps) / max(last, 1) * (WIDTH - _LEFT - _RIGHT)

    def y(values: Sequence[float] | np.ndarray) -> np.ndarray:
        scaled = np.log(np.maximum(values, 1e-12)) if logarithmic else np.asarray(values)
        return _TOP + (high - np.clip(scaled, low, high)) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    thin = np.unique(np.linspace(0, len(mean) - 1, min(_POINTS, len(mean))).astype(int))
    parts = [*_axes(low, high, logarithmic, last, y)]
    xs = x(train.steps)[thin]
    parts.append(f'<path class="raw" d="{_path(xs, y(np.asarray(train.values)[thin]))}"/>')
    parts.append(f'<path class="line" d="{_path(xs, y(mean[thin]))}"/>')
    if held_out:
        dots = zip(x(held_out.steps), y(held_out.values), strict=True)
        parts += [f'<circle class="dots" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in dots]
    description = f"{train.name}: from {train.values[0]:.3g} to {mean[-1]:.3g} over {last:,.0f} steps"
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="curve">'
    body = Markup("".join(parts))  # numbers and our own class names only
    return Markup(head) + Markup("<title>{}</title>").format(description) + body + Markup("</svg>")


def _axes(low: float, high: float, logarithmic: bool, last: float, y: Callable[..., np.ndarray]) -> list[str]:
    """Two or three horizontal lines with their values, and the first and last step."""
    places = np.linspace(low, high, 4)[:-1] if high > low else [low]
    values = [_round(float(np.exp(place) if logarithmic else place)) for place in places]
    parts = []
    for value in dict.fromkeys(values):
        height = float(y([value])[0])
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    bottom = HEIGHT - 6
    parts.append(f'<text class="tick" x="{_LEFT}" y="{bottom}">0</text>')
    parts.append(f'<text class="tick" x="{WIDTH - _RIGHT}" y="{bottom}" text-anchor="end">{last:,.0f} steps</text>')
    return parts


def _limits(series: np.ndarray, logarithmic: bool) -> tuple[float, float]:
    values = np.log(series) if logarithmic else series
    low, high = float(values.min()), float(values.max())
    room = max((high - low) * 0.08, 1e-6, abs(high) * 1e-3)
    return low - room, high + room


def _path(xs: np.ndarray, ys: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))


def _round(value: float) -> float:
    """To two significant digits."""
    return float(f"{value:.2g}")
