"""Drift as a figure: error by turn for every chain and way, and by band of spatial frequency."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from ip2p_lightning.evaluation.bands import NAMES
from ip2p_lightning.evaluation.drift import BANDS, Drift
from ip2p_lightning.report.plotting import COLOURS, MARKERS, new_figure

_LINES = {"pixels": "-", "latents": "--", "autoencoder": ":"}


def drift_figure(result: Drift) -> Figure:
    """On the left the error of each chain by turn; next to it, one image a chain, its bands in pixels' way."""
    rows = result.by_turn().to_pylist()
    chains = list(dict.fromkeys(row["chain"] for row in rows))
    ways = list(dict.fromkeys(row["through"] for row in rows))
    first = next(way for way in _LINES if way in ways)
    banded = [chain for chain in chains if _of(rows, chain, first)]
    figure, axes = new_figure(columns=1 + len(banded), width=4.0)
    for number, chain in enumerate(chains):
        for way in ways:
            found = _of(rows, chain, way)
            if not found:
                continue
            turns, errors = [row["turn"] for row in found], [row["error"] for row in found]
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            name = f"{chain}, {way}" if chain != "none" else "autoencoder alone"
            axes[0].plot(turns, errors, _LINES[way], marker=marker, markersize=3, color=colour, label=name)
            low, high = ([row[key] for row in found] for key in ("error_low", "error_high"))
            axes[0].fill_between(turns, low, high, color=colour, alpha=0.12, linewidth=0)
    axes[0].set_ylabel("mean error (/255)")
    for place, chain in enumerate(banded, start=1):
        found = _of(rows, chain, first)
        for band in BANDS:
            errors = [row[f"error_{band}"] for row in found]
            axes[place].plot([row["turn"] for row in found], errors, color=COLOURS[band], label=NAMES[band])
        axes[place].set_title(f"{chain}, {first}: by cycles per pixel", fontsize=9)
        axes[place].set_ylabel("root mean square error (/255)")
    for axis in axes:
        axis.set_xlabel("turn")
        axis.set_ylim(bottom=0)
        axis.grid(color="0.9", linewidth=0.6)
        axis.legend(frameon=False, fontsize=7)
    return figure


def _of(rows: list[dict[str, Any]], chain: str, way: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["chain"] == chain and row["through"] == way]
