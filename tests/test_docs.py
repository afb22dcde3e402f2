"""The documentation is true: commands compose, links lead somewhere, examples run, tables are the code's own."""

from __future__ import annotations

import ast
import csv
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig
from PIL import Image

from ip2p_lightning import cli
from ip2p_lightning.cli import main
from ip2p_lightning.config import TrustError, compose
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.diffusion.guidance import TwoScaleGuidance
from ip2p_lightning.jobs import checks
from ip2p_lightning.jobs.guide import JOBS, experiments, options
from ip2p_lightning.methods.checkpoint import load_module
from ip2p_lightning.schema.check import values
from ip2p_lightning.schema.keys import kind_of
from ip2p_lightning.schema.kinds import roles_of
from ip2p_lightning.shipped import EDITORS
from ip2p_lightning.world.levels import HELD_OUT, LEVELS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|yaml)|\w+\.py)`")
_PLACEHOLDER = re.compile(r"<[\w ]+>")


@dataclass(frozen=True)
class Fence:
    """A block of code: its page, language and text, and the file that the paragraph before names, if any."""

    page: Path
    language: str
    text: str
    file: str | None


def fences() -> Iterator[Fence]:
    for page in PAGES:
        content = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(content):
            paragraph = content[: match.start()].rstrip().rsplit("\n\n", 1)[-1]
            named = _FILE.findall(paragraph)
            own = named and match[1] in ("python", "yaml") and "```" not in paragraph
            yield Fence(page, match[1], match[2], named[0] if own else None)


def commands() -> list[str]:
    """Every `ip2p ...` in a shell block, on one line, without comments and variables of the environment."""
    found = []
    for fence in fences():
        if fence.language in ("bash", "sh", "console"):
            for line in fence.text.replace("\\\n", " ").splitlines():
                match = re.match(r"(?:[A-Z_]+=\S+ )*(ip2p .*)", line)
                found += [_PLACEHOLDER.sub("x", match[1])] if match else []
    return list(dict.fromkeys(found))


def inline_commands() -> list[str]:
    """Every `ip2p job ...` in running text; such may be cut short."""
    found = []
    for page in PAGES:
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        found += re.findall(r"`(ip2p (?!<)[^`]+)`", text)
    return list(dict.fromkeys(" ".join(_PLACEHOLDER.sub("x", command).split()) for command in found))


def help_examples() -> list[str]:
    """Every example of `ip2p --help` and `ip2p <job> --help`."""
    return [f"ip2p {example}" for job in JOBS.values() for example in job.examples]


def composed(command: str, mine: Path) -> DictConfig:
    """What a command's job would be given."""
    words = shlex.split(command, comments=True)[1:]
    job, rest = words[0], words[1:]
    if "-m" in rest:  # one run of the grid
        rest = [word.split(",")[0] for word in rest if word != "-m"]
    job, rest = cli.with_command(job, rest)
    flags, values = cli._split(job, rest)
    own = [f"hydra.searchpath=[file://{mine / folder}]" for flag, folder in pairwise(flags) if flag == "--config-dir"]
    return compose(job, [*own, *(["output_dir=x"] if job == "train" else []), *values])


def put_there(job: str, config: DictConfig) -> None:
    """Something at each place of the current folder where a command expects a file or a folder."""
    for key, value, _ in values(config):
        kind = kind_of(job, key)
        several = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
        for text in several if kind is not None and roles_of(kind, value) & {"input", "model"} else ():
            path = Path(str(text))
            elsewhere = path.is_absolute() and not path.is_relative_to(Path.home())
            if text is None or text in (*EDITORS, "auto") or "://" in str(text) or elsewhere:
                continue
            file = path if path.suffix else path / "checkpoints" / "last.ckpt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the pages tell to write."""
    folder = tmp_path_factory.mktemp("mine")
    for fence in fences():
        if fence.file and fence.page.name != "README.md":
            path = folder / fence.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fence.text, encoding="utf-8")
    return folder


def test_there_is_something_to_check():
    assert len(commands()) > 60
    assert {fence.file for fence in fences() if fence.file} >= {"my_sources.py", "my/experiment/mine.yaml"}


@pytest.mark.slow  # each is quick, but there are more than a hundred
@pytest.mark.parametrize("command", dict.fromkeys([*commands(), *help_examples()]))
def test_commands_compose_and_pass_every_check_before_they_start(
    command: str, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(checks, "_cuda_devices", lambda: 8)
    job = command.split()[1]
    if "--help" in command or job == "completion":
        assert job in {*JOBS, "completion", "--help"}
        return
    config = composed(command, mine)
    put_there(job, config)
    checks.check(job, config)


CHEAP = re.compile(
    r"ip2p (--help|--version|completion bash|\w+ --help|zoo (list|card .*)|train experiment=mgie/tiny|.* --cfg job.*"
    r"|data show source=world .*|edit checkpoint=\w+ scene=.*|generate experiment=generate/tiny)"
)


@pytest.mark.slow
def test_cheap_commands_run_as_they_are_written(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    written = [shlex.split(command, comments=True)[1:] for command in [*commands(), *help_examples()]]
    cheap = {" ".join(words): words for words in written if CHEAP.fullmatch(" ".join(["ip2p", *words]))}
    assert len(cheap) > 8
    for index, words in enumerate(cheap.values()):
        (tmp_path / str(index)).mkdir()
        monkeypatch.chdir(tmp_path / str(index))
        assert cli.main(words) == 0, (words, capsys.readouterr().err)
        printed = capsys.readouterr().out
        for advice in re.findall(r"^ip2p (train .*)$", printed if words[0] == "generate" else "", flags=re.MULTILINE):
            short = ["trainer.max_steps=1", "~callbacks.pictures", "~callbacks.summary"]
            assert cli.main([*shlex.split(advice), *short]) == 0, advice


@pytest.mark.parametrize("command", inline_commands())
def test_commands_in_running_text_name_real_jobs_and_keys(command: str, mine: Path):
    words = shlex.split(command)
    assert words[1] in {*JOBS, "completion", "--help"}
    if len(words) > 2 and "=" in command and "..." not in command and words[1] in JOBS:
        composed(command, mine)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    for target in targets:
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target} leads nowhere"
        if heading:
            assert heading in headings(file), f"{page.name}: {target}: no such heading, only {headings(file)}"


def headings(page: Path) -> list[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "pictures").glob("*.png")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(picture: Path):
    assert picture.stat().st_size < 1_500_000
    assert any(f"pictures/{picture.name}" in page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize(
    "fence", [fence for fence in fences() if fence.language == "python"], ids=lambda f: f.page.name
)
def test_python_imports_what_there_is(fence: Fence):
    for node in ast.walk(ast.parse(fence.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ip2p_lightning"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_yaml_is_yaml():
    assert all(isinstance(yaml.safe_load(fence.text), dict) for fence in fences() if fence.language == "yaml")


def table(page: str, first: str) -> list[list[str]]:
    """The rows of all tables of a page whose first heading is `first`, one list of cells a row."""
    rows, inside = [], False
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        inside = bool(cells) and (inside or cells[0].strip() == first)
        if inside and cells[0] != first and not cells[0].startswith("---"):
            rows.append(cells)
    return rows


def test_every_experiment_and_ablation_is_told_of():
    text = "".join(
        (ROOT / "docs" / page).read_text(encoding="utf-8")
        for page in ("training.md", "zoo.md", "writing.md", "imagen.md", "world.md")
    )
    assert [name for name in [*experiments(), *options("ablation")] if f"`{name}`" not in text] == []


def test_the_world_s_kinds_and_levels_are_told_of():
    first = {kind: level.name for level in reversed(LEVELS.values()) for kind in level.edits}
    assert {kind: level for kind, level, _ in table("world.md", "kind")} == first
    levels = {name: int(kinds) for name, _, kinds in table("world.md", "level")}
    assert levels == {name: len(level.edits) for name, level in LEVELS.items()}


def test_what_the_world_holds_out_is_told_of():
    text = " ".join((ROOT / "docs" / "world.md").read_text(encoding="utf-8").split())
    told = text.split("The held-out combinations: ")[1].split(".")[0].split(", ")
    assert {(kind, paint) for paint, kind in map(str.split, told)} == HELD_OUT


def test_guidance_runs_the_branches_that_the_page_says():
    names = {(True, True): "e(I,T)", (True, False): "e(I,0)", (False, False): "e(0,0)"}
    rows = table("editing.md", "s_T")
    assert len(rows) == 5
    for text_scale, image_scale, named, count in rows:
        branches = TwoScaleGuidance(float(text_scale), float(image_scale)).branches(0.0)
        assert [names[branch.image, branch.text] for branch in branches] == named.split(", ")
        assert len(branches) == int(count)


@pytest.fixture
def parts_of_the_pages(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages' files as the package of somebody who works in their folder."""
    monkeypatch.syspath_prepend(str(mine))
    monkeypatch.chdir(mine)


def run(command: str, *more: str) -> None:
    assert main([*shlex.split(command)[1:], *more]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("part", ["conditioner=words", "objective=huber", "autoencoder=fold"])
def test_a_part_of_the_pages_trains_and_is_reopened(part: str, parts_of_the_pages: None, tmp_path: Path):
    (command,) = [command for command in commands() if part in command]
    run(command, "trainer.max_steps=2", "~callbacks.pictures", "~callbacks.summary", f"hydra.run.dir={tmp_path}")
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(TrustError, match=r"may not be built .* say so: trust=\[my_parts\]"):
        load_module(checkpoint)
    module = load_module(checkpoint, trust=["my_parts"])
    name = {"conditioner": "WordConditioner", "objective": "HuberObjective", "autoencoder": "Fold"}[part.split("=")[0]]
    chosen = {type(part).__name__ for part in (module.conditioner, module.objective, module.autoencoder.vae)}
    assert name in chosen


@pytest.mark.slow
def test_a_package_of_ones_own_trains_edits_and_exports(mine: Path, tmp_path: Path):
    def ip2p(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": f"{mine}:{ROOT}"} | variables
        command = [sys.executable, "-m", "ip2p_lightning", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    few = ["trainer.max_steps=1", "~callbacks.pictures", "~callbacks.summary", "hydra.run.dir=run", "data.workers=0"]
    parts = ["objective=huber", "autoencoder=fold", "denoiser.network.latent_channels=12", "trust=[my_parts]"]
    trained = ip2p("train", "--config-dir", str(mine / "my"), "experiment=ip2p/tiny", *parts, *few)
    assert trained.returncode == 0, trained.stderr
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "photo.png")
    edit = ["edit", "image=photo.png", "instruction=make it winter", "steps=1"]
    refused = ip2p(*edit, "checkpoint=run/checkpoints/last.ckpt", "output=a.png")
    assert refused.returncode == 2
    assert "say so: trust=[my_parts] (or IP2P_TRUST=my_parts)" in " ".join(refused.stderr.split())
    edited = ip2p(*edit, "checkpoint=run/checkpoints/last.ckpt", "output=a.png", "trust=[my_parts]")
    assert edited.returncode == 0, edited.stderr
    exported = ip2p("export", "checkpoint=run/checkpoints/last.ckpt", "output=folder", IP2P_TRUST="my_parts")
    assert exported.returncode == 0, exported.stderr
    assert ip2p(*edit, "checkpoint=folder", "output=b.png").returncode == 2
    again = ip2p(*edit, "checkpoint=folder", "output=b.png", "trust=[my_parts]")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_source_of_the_pages_is_rendered(parts_of_the_pages: None, mine: Path):
    world = WorldSource(12, size=32)
    with (mine / "pairs.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["before", "after", "instruction", "expressive"])
        table.writeheader()
        for index in range(len(world)):
            pair, names = world[index], (f"{index}-before.png", f"{index}-after.png")
            pair.original_image.save(mine / names[0])
            pair.edited_image.save(mine / names[1])
            values = (*names, pair.instruction, pair.expressive_instruction)
            table.writerow(dict(zip(table.fieldnames, values, strict=True)))
    steps = [command for command in commands() if "data/mine" in command and "pairs.csv" in command]
    run(*steps)
    run("ip2p data verify path=data/mine decode=true")
