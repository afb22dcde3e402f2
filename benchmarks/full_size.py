"""Peak memory and time of one edit of a large photograph with an editor that ships.

    python benchmarks/full_size.py [--megapixels 24] [--editor instruct_pix2pix]

Each row is a process of its own: importing what an edit needs, and one edit of a JPEG file of 3:2, written as JPEG.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

PROGRAM = """
import json, resource, sys, time
import ip2p_lightning as ip2p
editor = ip2p.load_editor(sys.argv[1], device="cpu")
opened, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
if len(sys.argv) > 2:
    edit = editor.edit(sys.argv[2], "make it sepia")[0]
    assert edit.save(sys.argv[3]).is_file()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"opened MB": opened / 1024, "peak MB": peak / 1024, "seconds": time.perf_counter() - start}))
"""


def photograph(megapixels: float, path: Path) -> None:
    """A JPEG of smooth colours with grain."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    size = round(height * 1.5), height
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = rng.integers(-8, 9, (height, size[0], 1), dtype=np.int16)
    Image.fromarray((np.asarray(coarse, np.int16) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--editor", default="instruct_pix2pix")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        photograph(arguments.megapixels, photo)
        with Image.open(photo) as image:
            print(f"{image.width} x {image.height}, {photo.stat().st_size / 1e6:.1f} MB")
        for label, files in (("opened alone", []), ("one edit", [str(photo), str(Path(folder) / "out.jpg")])):
            command = [sys.executable, "-c", PROGRAM, arguments.editor, *files]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(f"{label:14}", "  ".join(f"{name} {value:,.1f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
