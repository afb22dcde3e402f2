"""Rules of the configuration tree: a method owns its parts, and every option is used by a file, a page or a test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from ip2p_lightning.config import build, compose, config_dir
from ip2p_lightning.jobs.tree import options
from ip2p_lightning.schema import as_written
from ip2p_lightning.schema.words import MOVED

ROOT = Path(__file__).resolve().parents[2]
CONF = config_dir()
ALL = sorted(CONF.rglob("*.yaml"))
WHOLE = ("ablation", "experiment")
"""Groups whose options are named on pages (tests/test_docs.py) and composed by tests one by one."""
GROUPS = sorted({path.parent.relative_to(CONF).as_posix() for path in ALL} - {"."})


def chosen(path: Path) -> set[tuple[str, str]]:
    """(group, option) of every entry in the defaults list of a file."""
    found = set()
    for entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", ()):
        own = path.parent.relative_to(CONF).as_posix()
        if isinstance(entry, str):
            group, _, option = entry.strip("/").rpartition("/")
            found.add((group or own, option))
        else:
            ((key, option),) = entry.items()
            group = key.split()[-1].split("@")[0]
            near = f"{own}/{group}" if own != "." and (CONF / own / group).is_dir() else group
            found |= {(group.strip("/") if group.startswith("/") else near, str(name)) for name in [option]}
    return found


@cache
def in_defaults() -> dict[str, set[str]]:
    """Group -> options that some file chooses."""
    rows = [row for path in ALL for row in chosen(path)]
    return {group: {option for own, option in rows if own == group} for group in GROUPS}


@cache
def written() -> str:
    """What pages, tests, benchmarks and studies say; this file excepted."""
    kinds = ("docs/*.md", "docs/*.py", "README.md", "tests/**/*.py", "benchmarks/*.py", "experiments/*.py")
    kinds += ("ip2p_lightning/studies/*.py", "ip2p_lightning/jobs/guide.py")
    files = [path for kind in kinds for path in ROOT.glob(kind) if path != Path(__file__).resolve()]
    jobs = [path.read_text(encoding="utf-8") for path in ALL if path.parent == CONF or "experiment" in path.parts]
    return "\n".join([*jobs, *(path.read_text(encoding="utf-8") for path in files)])


def named(group: str) -> set[str]:
    """Options of a group that are chosen by group=option, group=a,b, group=[a,b] or ("group", "option")."""
    lists = re.findall(rf"(?<![\w/.]){group}=\[?([\w,/]+)", written())
    return {option for found in lists for option in found.split(",")}


def tabled(group: str) -> set[str]:
    """Options with a row in a page's table whose first column is the group, or within a row that names the group."""
    found, inside = set(), False
    for line in (line for page in ROOT.glob("docs/*.md") for line in page.read_text(encoding="utf-8").splitlines()):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        first = cells[0].strip("`=") if cells else ""
        inside = bool(cells) and (inside or first == group)
        spans = cells[1] if cells and first == group.rsplit("/", 1)[-1] else cells[0] if inside else ""
        found |= set(re.findall(r"`([\w/]+)`", spans))
    return found


@pytest.mark.parametrize("group", [group for group in GROUPS if not group.startswith((*WHOLE, "hydra"))])
def test_every_option_is_used(group: str):
    assert set(options(group)) - in_defaults()[group] - named(group) - tabled(group) == set(), (
        f"unused options of {group}: choose them, or delete them"
    )


def test_no_experiment_leaves_out_parts_of_another_method():
    nulls = {
        (path.relative_to(CONF).as_posix(), group)
        for path in (CONF / "experiment").rglob("*.yaml")
        for group, option in chosen(path)
        if option == "None" and group not in ("cache", "logger")
    }
    assert nulls == set()


@pytest.mark.parametrize("method", options("method"))
def test_a_method_chooses_its_own_parts(method: str):
    """Each part that a method refers to is there when the method is chosen."""
    config = compose("train", [f"method={method}", "~experiment", "output_dir=x"])
    written = yaml.safe_load((CONF / "method" / f"{method}.yaml").read_text(encoding="utf-8"))
    parts = {value[2:-1].split(".")[0] for value in map(str, written.values()) if re.fullmatch(r"\$\{[\w.]+\}", value)}
    assert parts - set(config) == set()
    assert {"callbacks", "stages", "optimizer"} <= set(config)


def test_the_defaults_of_train_are_those_in_effect():
    rows = {*chosen(CONF / "train.yaml"), *chosen(CONF / "method" / "editing.yaml")}
    listed = {(group, option) for group, option in rows if option and group not in ("experiment", "hydra", "ablation")}
    effective = {(group, option) for group, option in chosen(CONF / "experiment" / "ip2p" / "world.yaml")}
    assert effective <= listed


def test_a_flow_is_trained_and_sampled_alike():
    tiny = ["~experiment", "conditioner=text_tiny", "autoencoder=kl_tiny", "denoiser=unet_tiny", "output_dir=x"]
    module = build(compose("train", [*tiny, "objective=flow", "sampler=flow"]).method)
    assert module.objective.prediction_type == "flow"


def test_a_group_that_was_moved_is_named_where_it_is_today():
    for (job, group), today in MOVED.items():
        assert (CONF / today).is_dir()
        with pytest.raises(ValueError, match=f"write {today}=x"):
            as_written(job, f"{group}=x")
        assert as_written(job, f"{group}={{a: 1}}") == f"{group}={{a: 1}}", "values of a part are taken as they were"
