"""MGIE, table 1: zero-shot editing by InstructPix2Pix, LGIE and MGIE on four kinds of task.

All three learn from general pairs and are measured on tasks' own held-out pairs. tiny and world: see
ip2p_lightning/studies/tasks.py for the kinds of edit that stand for EVR (objects), GIER (operations on photographs),
MA5k (light and colour) and MagicBrush (everything, in unseen combinations). paper: render each official split to
data/evr/{train,validation,test} and so on (docs/evaluation.md), and give the general pairs: pairs=FOLDER.

PUBLISHED has the paper's figures as far as they are known to us; at size paper, ours are of the same metrics, else of
other pairs, and only their order compares.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_dots
from ip2p_lightning.studies.recipes import PAPERS, SEEDS, evaluate, general
from ip2p_lightning.studies.study import Options
from ip2p_lightning.studies.tasks import tasks

MODELS = {"ip2p": "InstructPix2Pix", "lgie": "LGIE", "mgie": "MGIE"}
METRICS = ("error", "l1", "ssim", "changed", "kept", "closer_than_input", "text_exact", "seconds_per_edit", *PAPERS)
PUBLISHED = {  # a hundred times the column, of InstructPix2Pix, LGIE, MGIE
    ("EVR", "dino"): (67.82, 69.71, 71.49),
    ("GIER", "ssim"): (57.51, 56.86, 59.24),
    ("MA5k", "ssim"): (58.92, 64.60, 66.25),
    ("MagicBrush", "dino"): (71.46, 80.90, 82.22),
}
TITLES = {
    "error": "error [/255]",
    "ssim": "SSIM",
    "closer_than_input": "nearer to the truth",
    "dino": "DINO",
    "lpips": "LPIPS",
}


def runs(options: Options) -> list[Run]:
    found: dict[str, Run] = {}
    for seed, family, task in product(SEEDS[options.size], MODELS, tasks(options.size)):
        models = general(options, family, seed)
        found |= {run.name: run for run in models}
        labels = {"model": family, "task": f"{task.title} ({task.like})", "seed": seed}
        name = f"evaluate/general/{family}-{seed}/{task.title}"
        found[name] = evaluate(options, name, models[-1], labels, *task.measured(options.size))
    return list(found.values())


def draw(table: Table) -> dict[str, Figure]:
    shown = ["error", "ssim", "closer_than_input", *table.measured(("dino", "lpips"))]
    figure, axes = new_figure(columns=len(shown), width=4.0)
    for axis, metric in zip(axes, shown, strict=True):
        draw_dots(axis, table, metric, "task", "model", names=MODELS)
        axis.set_title(TITLES[metric])
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    found = []
    mgie, others = {"model": "mgie"}, {name: {"model": name} for name in ("ip2p", "lgie")}
    for task in table.labels("task"):
        part = table.where(task=task)
        for name, other in others.items():
            found.append(part.compare(f"{task}: MGIE beats {MODELS[name]}", "error", mgie, other))
        for (like, metric), paper in PUBLISHED.items():
            if f"({like})" in task and part.measured((metric,)):
                told = " / ".join(map(str, paper))
                text = f"{task}: MGIE beats InstructPix2Pix by {TITLES[metric]}; the paper: {told}"
                found.append(part.compare(text, metric, others["ip2p"], mgie))
    return found


STUDY = Study("mgie_zero_shot", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
