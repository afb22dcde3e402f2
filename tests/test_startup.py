"""Starting costs no more than what is in use: training's libraries are not imported to edit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_TO_EDIT = {
    "lightning",
    "lightning_fabric",
    "torchmetrics",
    "timm",
    "wandb",
    "open_clip",
    "matplotlib",
    "pandas",
    "skimage",
}
HEAVY = {"torch", "numpy", "hydra", "diffusers", "transformers", "PIL", *NOT_TO_EDIT}


def imported(code: str, cwd: Path) -> set[str]:
    """The packages that are imported when a fresh interpreter has run `code`."""
    shown = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    )
    run = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, cwd=cwd, check=True)
    return set(run.stdout.splitlines()[-1].split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["instruct_pix2pix", "mgie"])
def test_an_edit_with_a_shipped_model_imports_nothing_of_training(name: str, tmp_path: Path):
    words = ["edit", f"checkpoint={name}", "scene=a red castle", "instruction=make it winter!", "output=out.png"]
    found = imported(f"from ip2p_lightning.cli import main\nassert main({[*words, 'size=model']}) == 0", tmp_path)
    assert (tmp_path / "out.png").is_file()
    assert found & NOT_TO_EDIT == set()


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path):
    assert imported("import ip2p_lightning", tmp_path) & HEAVY == set()


def test_help_and_completion_import_nothing_heavy(tmp_path: Path):
    code = "from ip2p_lightning.cli import main\nmain(['--help'])\nmain(['edit', '--help'])"
    assert imported(code, tmp_path) & (HEAVY - {"hydra"}) == set()
