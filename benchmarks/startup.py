"""Processor time of starting: what a command costs before its work, next to importing torch and the classes in use.

python benchmarks/startup.py    # a table of processor seconds (user and system), least of three fresh interpreters
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLASSES = (
    "import torch; from diffusers import DDIMScheduler, DiffusionPipeline, SD3Transformer2DModel; "
    "from transformers import CLIPTextModel, PreTrainedTokenizerFast"
)
EDIT = "edit checkpoint=instruct_pix2pix instruction=blur output=o.png"
ROWS = {
    "import torch": ["-c", "import torch"],
    "torch and the classes in use": ["-c", CLASSES],
    "lightning.pytorch alone": ["-c", "import lightning.pytorch"],
    "import ip2p_lightning": ["-c", "import ip2p_lightning"],
    "all that an edit imports": ["-c", "import ip2p_lightning.jobs.edit, ip2p_lightning.interop.folder"],
    "ip2p --help": ["-m", "ip2p_lightning", "--help"],
    "ip2p edit --help": ["-m", "ip2p_lightning", "edit", "--help"],
    "ip2p edit image=nothere.jpg": ["-m", "ip2p_lightning", *EDIT.split(), "image=nothere.jpg"],
    "ip2p edit checkpoint=mgei": ["-m", "ip2p_lightning", *EDIT.split(), "scene=castle", "checkpoint=mgei"],
    "ip2p train data.batch_size=0": ["-m", "ip2p_lightning", "train", "experiment=ip2p/tiny", "data.batch_size=0"],
    "ip2p edit of one 64-pixel image": ["-m", "ip2p_lightning", *EDIT.split(), "scene=a red castle", "overwrite=true"],
}


def seconds(arguments: list[str], repeats: int) -> float:
    """Least processor seconds of a fresh interpreter."""
    found = []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    base = seconds(ROWS["torch and the classes in use"], repeats)
    print("| what | processor seconds | of torch and the classes in use |\n|---|---|---|")
    with contextlib.suppress(KeyboardInterrupt):
        for name, arguments in ROWS.items():
            spent = seconds(arguments, repeats)
            print(f"| {name} | {spent:.2f} | {spent / base:.2f} |", flush=True)


if __name__ == "__main__":
    main()
