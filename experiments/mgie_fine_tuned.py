"""MGIE, table 2: the models of table 1, tuned on each task's own pairs.

InstructPix2Pix and MGIE go on from their general training on the training pairs of each task; next to them stand the
same models untuned. See mgie_zero_shot.py for the tasks. Of the paper's table we know MagicBrush (DINO 87.99 ->
90.65, CVS 93.83 -> 95.28, CTS 30.93 -> 31.73) and MA5k (LPIPS .267 -> .235), InstructPix2Pix -> MGIE.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_dots
from ip2p_lightning.studies.recipes import PAPERS, SEEDS, evaluate, general, tuned
from ip2p_lightning.studies.study import Options
from ip2p_lightning.studies.tasks import tasks

MODELS = {"ip2p": "InstructPix2Pix", "mgie": "MGIE"}
NAMES = {f"{key}{suffix}": name + suffix for key, name in MODELS.items() for suffix in ("", ", tuned")}
TITLES = {"dino": "DINO", "clip_i": "CVS", "clip_t": "CTS", "lpips": "LPIPS"}
METRICS = ("error", "l1", "ssim", "changed", "kept", "closer_than_input", "text_exact", *PAPERS)


def runs(options: Options) -> list[Run]:
    found: dict[str, Run] = {}
    for seed, family, task in product(SEEDS[options.size], MODELS, tasks(options.size)):
        models = general(options, family, seed)
        title = f"{task.title} ({task.like})"
        name = f"evaluate/general/{family}-{seed}/{task.title}"
        labels = {"model": family, "task": title, "seed": seed}
        before = evaluate(options, name, models[-1], labels, *task.measured(options.size))
        model = tuned(options, f"train/tuned/{family}-{seed}/{task.title}", family, seed, models[-1], task)
        labels = {"model": f"{family}, tuned", "task": title, "seed": seed}
        name = f"evaluate/tuned/{family}-{seed}/{task.title}"
        after = evaluate(options, name, model, labels, *task.measured(options.size))
        found |= {run.name: run for run in (*models, before, model, after)}
    return list(found.values())


def draw(table: Table) -> dict[str, Figure]:
    shown = {"error": "error [/255]", "ssim": "SSIM"}
    shown |= {name: TITLES[name] for name in table.measured(PAPERS)}
    figure, axes = new_figure(columns=len(shown), width=4.6)
    for axis, (metric, title) in zip(axes, shown.items(), strict=True):
        draw_dots(axis, table, metric, "task", "model", names=NAMES)
        axis.set_title(title)
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    found = []
    for task in table.labels("task"):
        part, mgie, ip2p = table.where(task=task), {"model": "mgie, tuned"}, {"model": "ip2p, tuned"}
        found.append(part.compare(f"{task}: tuning lowers MGIE's error", "error", mgie, {"model": "mgie"}))
        found.append(part.compare(f"{task}: tuned, MGIE beats InstructPix2Pix", "error", mgie, ip2p))
        for metric in part.measured(PAPERS):
            arms = (mgie, ip2p) if metric == "lpips" else (ip2p, mgie)  # the one with less first
            found.append(part.compare(f"{task}: tuned, MGIE beats it by {TITLES[metric]}", metric, *arms))
    return found


STUDY = Study("mgie_fine_tuned", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
