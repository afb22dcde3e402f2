"""Simulated raters of known strengths: are the strengths recovered, and do the intervals cover at the nominal rate?

    python benchmarks/people.py studies=400 figure=docs/pictures/strengths

Three systems; studies of 20, 50 and 200 prompts with three raters each. "independent" raters choose by the model
alone; under "shared prompts" a prompt adds to each system's strength for all of its raters (standard deviation 0.5),
so that choices about one prompt are alike, and the truth is what a study of 20,000 prompts gives. Shown next to:
intervals of a bootstrap that draws choices one by one, as if they were independent.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from simulated_raters import simulated

from ip2p_lightning.evaluation.calibration import Choice
from ip2p_lightning.evaluation.strengths import strengths
from ip2p_lightning.report.plotting import COLOURS, finish, new_figure, save_figure

TRUE = {"strong": 0.9, "middle": 0.1, "weak": -1.0}
TIES, RATERS, CONFIDENCE, PROMPTS = 0.3, 3, 0.95, (20, 50, 200)
SPREADS = {"independent": 0.0, "shared prompts": 0.5}


def one_by_one(choices: Sequence[Choice]) -> list[Choice]:
    """The choices as if each were about a prompt of its own."""
    return [replace(choice, pair=f"{number}") for number, choice in enumerate(choices)]


def measured(studies: int) -> list[dict]:
    rows = []
    for kind, spread in SPREADS.items():
        many = strengths(simulated(TRUE, TIES, 20_000, 1, seed=10**6, spread=spread), resamples=2)
        truth = TRUE if spread == 0 else {name: one.estimate for name, one in many.systems.items()}
        for prompts in PROMPTS:
            errors, covered, wrongly = [], [], []
            for seed in range(studies):
                choices = simulated(truth if spread == 0 else TRUE, TIES, prompts, RATERS, seed, spread=spread)
                found = strengths(choices, resamples=300, confidence=CONFIDENCE, seed=seed).systems
                naive = strengths(one_by_one(choices), resamples=300, confidence=CONFIDENCE, seed=seed).systems
                errors += [found[name].estimate - truth[name] for name in truth]
                covered += [found[name].low <= truth[name] <= found[name].high for name in truth]
                wrongly += [naive[name].low <= truth[name] <= naive[name].high for name in truth]
            row = {"raters": kind, "prompts": prompts, "rms": float(np.std(errors))}
            rows.append(row | {"covered": float(np.mean(covered)), "one by one": float(np.mean(wrongly))})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def draw(rows: Sequence[dict], studies: int, path: Path) -> None:
    figure, panels = new_figure(columns=2, width=4.0, height=2.9)
    for axes, kind in zip(panels, SPREADS, strict=True):
        chosen = [row for row in rows if row["raters"] == kind]
        for index, (name, label) in enumerate((("covered", "prompts drawn (ours)"), ("one by one", "choices drawn"))):
            values = np.array([row[name] for row in chosen])
            half = 1.96 * np.sqrt(values * (1 - values) / studies)  # the three systems of a study are not independent
            axes.errorbar(PROMPTS, values, half, marker="os"[index], color=COLOURS[index], label=label, capsize=2)
        axes.axhline(CONFIDENCE, color="black", linewidth=0.8, linestyle="--")
        axes.set_xscale("log")
        axes.set_xticks(PROMPTS, [str(count) for count in PROMPTS])
        axes.set_ylim(0.7, 1.0)
        axes.set_title(f"raters: {kind}", fontsize=9)
        axes.set_xlabel("prompts of the study", fontsize=8)
        axes.set_ylabel("intervals that cover the truth", fontsize=8)
        finish(axes)
    save_figure(figure, path)


def main(words: Sequence[str]) -> None:
    options = dict(word.split("=", 1) for word in words)
    studies = int(options.get("studies", 400))
    rows = measured(studies)
    if path := options.get("figure"):
        draw(rows, studies, Path(path))


if __name__ == "__main__":
    main(sys.argv[1:])
