"""MGIE, table 1: zero-shot editing by InstructPix2Pix, LGIE and MGIE on four kinds of task.

All three learn from general pairs and are measured on tasks' own held-out pairs. tiny and world: see
ip2p_lightning/studies/tasks.py for the kinds of edit that stand for EVR (objects), GIER (operations on photographs),
MA5k (light and colour) and MagicBrush (everything, in unseen combinations). paper: import the sets to data/evr,
data/gier, data/ma5k, data/magicbrush and give train="data.path=FOLDER".

PUBLISHED has the paper's figures as far as they are known to us; ours are of other pairs, and only their order
compares.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from matplotlib.figure import Figure

from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_dots, new_figure
from ip2p_lightning.studies.recipes import SEEDS, evaluate, general
from ip2p_lightning.studies.study import Options
from ip2p_lightning.studies.tasks import tasks

MODELS = {"ip2p": "InstructPix2Pix", "lgie": "LGIE", "mgie": "MGIE"}
METRICS = ("error", "l1", "ssim", "changed", "kept", "nearer", "text_exact", "seconds_per_edit")
PUBLISHED = {  # InstructPix2Pix, LGIE, MGIE
    ("EVR", "DINO"): (67.82, 69.71, 71.49),
    ("GIER", "SSIM"): (57.51, 56.86, 59.24),
    ("MA5k", "SSIM"): (58.92, 64.60, 66.25),
    ("MagicBrush", "DINO"): (71.46, 80.90, 82.22),
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
    figure, axes = new_figure(columns=3, width=4.0)
    titles = ("error [/255]", "SSIM", "nearer to the truth")
    for axis, metric, title in zip(axes, ("error", "ssim", "nearer"), titles, strict=True):
        draw_dots(axis, table, metric, "task", "model", names=MODELS)
        axis.set_title(title)
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    found = []
    for task in table.labels("task"):
        part = table.where(task=task)
        told = [f"{metric} {' / '.join(map(str, v))}" for (like, metric), v in PUBLISHED.items() if f"({like})" in task]
        paper = f"; the paper: {'; '.join(told)}" if told else ""
        found.append(
            part.compare(f"{task}: MGIE beats InstructPix2Pix{paper}", "error", {"model": "mgie"}, {"model": "ip2p"})
        )
        found.append(part.compare(f"{task}: MGIE beats LGIE", "error", {"model": "mgie"}, {"model": "lgie"}))
    return found


STUDY = Study("mgie_zero_shot", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
