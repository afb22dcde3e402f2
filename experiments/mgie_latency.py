"""MGIE's latency: seconds an edit of InstructPix2Pix, LGIE and MGIE, by batch size, on the machine at hand.

The paper, on an A100 with the language model included: InstructPix2Pix 6.8 s, MGIE 9.2 s; MGIE in batches of 4 and 8:
20.6 and 36.9 s a batch. Times do not compare between machines; the ratios do, roughly. Run it where nothing else
runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_lines
from ip2p_lightning.studies.recipes import evaluate, general
from ip2p_lightning.studies.study import Options
from ip2p_lightning.studies.tasks import TASKS

MODELS = {"ip2p": "InstructPix2Pix", "lgie": "LGIE", "mgie": "MGIE"}
BATCHES = {"tiny": (1, 4), "world": (1, 4, 8), "paper": (1, 4, 8)}
COUNTS = {"tiny": 4, "world": 64, "paper": 32}
METRICS = ("seconds_per_edit",)


def runs(options: Options) -> list[Run]:
    found: dict[str, Run] = {}
    for family, batch in product(MODELS, BATCHES[options.size]):
        models = general(options, family, seed=0)
        name = f"evaluate/latency/{family}-{batch}"
        words = [*TASKS[0].measured(options.size), f"batch_size={batch}", f"count={COUNTS[options.size]}", "show=0"]
        words += ["metrics=pixels"] if options.size == "paper" else []  # what is not timed may as well be cheap
        labels = {"model": family, "batch": batch}
        found |= {run.name: run for run in (*models, evaluate(options, name, models[-1], labels, *words))}
    return list(found.values())


def draw(table: Table) -> dict[str, Figure]:
    figure, (axis,) = new_figure()
    draw_lines(axis, table, "batch", "seconds_per_edit", "model", names=MODELS)
    axis.set(xlabel="edits in a batch", title="seconds an edit", ylim=(0, None))
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    ip2p, mgie = (table.where(model=model, batch=1).average("seconds_per_edit") for model in ("ip2p", "mgie"))
    if not (ip2p.runs and mgie.runs):
        return [Claim("MGIE takes 1.35 times as long as InstructPix2Pix", "not known", "runs are missing")]
    evidence = f"{mgie.mean:.3g} s against {ip2p.mean:.3g} s: {mgie.mean / ip2p.mean:.2f} times"
    return [Claim("MGIE takes 1.35 times as long as InstructPix2Pix, whatever the machine", "undecided", evidence)]


STUDY = Study("mgie_latency", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
