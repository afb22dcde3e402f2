"""MGIE's ablation of the number of visual tokens: fewer than 4 are clearly worse, more than 4 saturate; it takes 8."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_lines
from ip2p_lightning.studies.recipes import PAPERS, SEEDS, begun, evaluate, ip2p
from ip2p_lightning.studies.study import Options

COUNTS = {"tiny": (1, 4), "world": (1, 4, 16), "paper": (1, 2, 4, 8, 16)}
METRICS = ("error", "ssim", "changed", "kept", "closer_than_input", "text_exact", *PAPERS)


def runs(options: Options) -> list[Run]:
    found: dict[str, Run] = {}
    for seed, count in product(SEEDS[options.size], COUNTS[options.size]):
        found |= {run.name: run for run in ip2p(options, seed)}
        words = [f"conditioner.tokenizer.count={count}"]
        model = begun(options, f"train/visual_tokens/{count}-{seed}", "mgie", seed, *words)
        name = f"evaluate/visual_tokens/{count}-{seed}"
        labels = {"tokens": count, "model": "MGIE", "seed": seed}
        found |= {model.name: model, name: evaluate(options, name, model, labels)}
    return list(found.values())


def draw(table: Table) -> dict[str, Figure]:
    figure, axes = new_figure(columns=2)
    for axis, metric, title in zip(axes, ("error", "ssim"), ("error [/255]", "SSIM"), strict=True):
        draw_lines(axis, table, "tokens", metric, "model", logarithmic=True)
        axis.set(xlabel="visual tokens", title=title)
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    counts = table.labels("tokens")
    four = 4 if 4 in counts else counts[-1]
    found = [table.compare(f"{four} visual tokens beat 1", "error", {"tokens": four}, {"tokens": 1})]
    if counts[-1] > four:
        more = f"{counts[-1]} are no better than {four}"
        found.append(table.compare(more, "error", {"tokens": four}, {"tokens": counts[-1]}))
    return found


STUDY = Study("mgie_visual_tokens", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
