"""InstructPix2Pix, section 3.2.1: conditioning dropout, without which guidance means nothing.

The paper drops the text, the image and both in 5 % of the samples each, so that one network can be asked without
them. Here networks are trained with shares of 0 (never), the paper's and more, and each is asked with and without
guidance: one that never saw null conditions should lose by guidance what the others do not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from matplotlib.figure import Figure

from ip2p_lightning.report.plotting import new_figure
from ip2p_lightning.studies import Claim, Run, Study, Table
from ip2p_lightning.studies.drawing import draw_lines
from ip2p_lightning.studies.recipes import SEEDS, evaluate, train
from ip2p_lightning.studies.study import Options

SHARES = {"tiny": (0.0, 0.05), "world": (0.0, 0.05, 0.15), "paper": (0.0, 0.05, 0.1)}
SCALES = {  # (s_T, s_I); the first is no guidance
    "tiny": ((1.0, 1.0), (2.0, 1.2)),
    "world": ((1.0, 1.0), (2.0, 1.0), (1.0, 1.5), (2.0, 1.5)),
    "paper": ((1.0, 1.0), (7.5, 1.0), (7.5, 1.5)),
}
METRICS = ("error", "strength", "true_change", "kept")


def runs(options: Options) -> list[Run]:
    found = []
    for seed, share in product(SEEDS[options.size], SHARES[options.size]):
        words = [f"dropout.{part}={share}" for part in ("text", "image", "both")]
        model = train(options, f"train/dropout/{share}-{seed}", "ip2p", seed, *words, steps=(500,))
        found.append(model)
        for text, image in SCALES[options.size]:
            labels = {"dropout": share, "guidance": f"{text:g}, {image:g}", "seed": seed}
            scales = [f"text_scale={text}", f"image_scale={image}", "metrics=strength"]
            found.append(evaluate(options, f"evaluate/dropout/{share}-{seed}/{text}-{image}", model, labels, *scales))
    return found


def draw(table: Table) -> dict[str, Figure]:
    figure, axes = new_figure(columns=4, width=3.3)
    titles = ("error [/255]", "change from the input [/255]", "part of the true change", "where it should stay [/255]")
    names = {share: f"dropout 3 x {100 * share:g} %" for share in table.labels("dropout")}
    for axis, metric, title in zip(axes, METRICS, titles, strict=True):
        draw_lines(axis, table, "guidance", metric, "dropout", names=names)
        axis.set(xlabel="guidance $s_T$, $s_I$", title=title)
    return {"figure": figure}


def claims(table: Table) -> Sequence[Claim]:
    none, paper = table.labels("dropout")[:2]
    plain, guided = table.labels("guidance")[0], table.labels("guidance")[-1]
    with_paper, without = {"dropout": paper, "guidance": guided}, {"dropout": none, "guidance": guided}
    unguided = {"dropout": none, "guidance": plain}
    return [
        table.compare(f"under guidance ({guided}) dropout lowers the error", "error", with_paper, without),
        table.compare("without dropout, guidance raises the error", "error", unguided, without),
    ]


STUDY = Study("ip2p_conditioning_dropout", __doc__ or "", runs, draw, METRICS, claims)

if __name__ == "__main__":
    sys.exit(STUDY.main())
