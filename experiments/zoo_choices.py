"""Our own sweep: what each choice of a small InstructPix2Pix's recipe buys, at a small budget.

One thing at a time is changed about `ip2p/world`'s recipe: the learning rate, the gate that lets the denoiser
take the original back, the weights by size of the edit, and how often training shows nearly pure noise. At size world a
smaller network learns for 300 steps on scenes alone, half a minute a run on one core; one seed, 128 held-out pairs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import COLOURS, new_figure
from ip2p_lightning.studies import Run, Study, Table
from ip2p_lightning.studies.recipes import evaluate, train
from ip2p_lightning.studies.study import Options

RECIPE = "the recipe"
CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "tiny": {RECIPE: (), "rate 3e-3": ("stages.0.trainable={denoiser.*:{lr:3.0e-3}}",)},
    "world": {
        RECIPE: (),
        "rate 1e-3": ("stages.0.trainable={*:{lr:1.0e-3}}",),
        "rate 6e-3": ("stages.0.trainable={*:{lr:6.0e-3}}",),
        "no gate": ("denoiser.network.gated=false",),
        "all pairs alike": ("objective.weights=[]",),
        "noise power 0.5": ("objective.timesteps.power=0.5",),
        "noise uniform": ("objective.timesteps.power=1",),
    },
    "paper": {
        RECIPE: (),
        "rate 5e-5": ("stages.0.trainable={denoiser.*:{lr:5.0e-5}}",),
        "rate 2e-4": ("stages.0.trainable={denoiser.*:{lr:2.0e-4}}",),
    },
}
METRICS = ("error", "closer_than_input", "error_halved", "kept", "changed")


def runs(options: Options) -> list[Run]:
    found = []
    for number, (choice, words) in enumerate(CHOICES[options.size].items()):
        model = train(options, f"train/choices/{number}", "ip2p", 0, *words, steps=(300,))
        fewer = ["data.validation.count=128"] if options.size == "world" else []
        found += [model, evaluate(options, f"evaluate/choices/{number}", model, {"choice": choice}, *fewer)]
    return found


def draw(table: Table) -> dict[str, Figure]:
    figure, panels = new_figure(columns=2, width=4.4, height=2.8)
    names = table.labels("choice")
    for axes, metric, title in zip(panels, ("error", "kept"), ("error", "error where it should stay"), strict=True):
        values = [table.where(choice=name).average(metric).mean for name in names]
        axes.barh(range(len(names)), values, color=COLOURS[0])
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel(f"{title} [/255]")
    return {"figure": figure}


STUDY = Study("zoo_choices", __doc__ or "", runs, draw, METRICS)

if __name__ == "__main__":
    sys.exit(STUDY.main())
