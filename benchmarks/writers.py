"""Share of a writer's triples that are usable, on captions of real photographs; counts by reason, and examples.

    python benchmarks/writers.py --captions FOLDER_OF_TARS --writers smollm2 tuned --set writer.checkpoint=last.ckpt

Each caption is tried once. "sound" passes all checks of the original, "faithful" also keeps half of a caption's words.
With `--retries 3` a caption is tried up to four times until its triple is faithful, as `ip2p generate` does; what never
is counts as neither.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from ip2p_lightning.config import build, compose
from ip2p_lightning.generation.base import Caption, Rejected
from ip2p_lightning.generation.captions import TarCaptions, take
from ip2p_lightning.generation.triple_checks import TripleChecks, kept_share, tally


def measure(name: str, captions: list[Caption], overrides: list[str], retries: int, threads: int) -> dict:
    own = [word for word in overrides if name == "tuned" or "checkpoint" not in word]
    writer = build(compose("generate", [f"generation/writer={name}", *own, f"writer.retries={retries}"]).writer)
    if not retries:
        writer.checks = TripleChecks()
    torch.set_num_threads(threads)
    began = time.process_time()
    outcomes = writer.write(captions)
    seconds = time.process_time() - began
    triples = [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]
    faithful = [t for t in triples if kept_share(t.original_caption, t.edited_caption) >= 0.5]
    for caption, outcome in zip(captions, outcomes, strict=True):
        print(f"  {caption.text[:110]}")
        if isinstance(outcome, Rejected):
            print(f"    -- {outcome.reason}: {outcome.detail[:110]!r}")
        else:
            print(
                f"    {'ok' if outcome in faithful else '??'} {outcome.instruction}  =>  {outcome.edited_caption[:110]}"
            )
    counts = dict(tally(outcomes))
    return {
        "writer": writer.name,
        "captions": len(captions),
        "sound": len(triples),
        "faithful": len(faithful),
        "counts": counts,
        "cpu_seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", required=True, help="a tar of captioned photographs, or a folder of such tars")
    parser.add_argument("--writers", nargs="+", default=["smollm2"], help="options of conf/generation/writer")
    parser.add_argument("--set", nargs="*", default=[], help="overrides, such as writer.checkpoint=last.ckpt")
    parser.add_argument("--count", type=int, default=None, help="captions; all by default")
    parser.add_argument("--retries", type=int, default=0, help="more tries of a caption whose triple is not faithful")
    parser.add_argument("--threads", type=int, default=1)
    words = parser.parse_args()
    captions = [entry for entry in take(TarCaptions(words.captions), words.count) if isinstance(entry, Caption)]
    rows = []
    for name in words.writers:
        print(f"\n{name}")
        rows.append(measure(name, captions, words.set, words.retries, words.threads))
    print(f"\n{'writer':<60} {'captions':>8} {'sound':>6} {'faithful':>8} {'CPU s':>6}")
    for row in rows:
        numbers = f"{row['captions']:>8} {row['sound']:>6} {row['faithful']:>8} {row['cpu_seconds']:>6}"
        print(f"{row['writer'][-60:]:<60} {numbers}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
