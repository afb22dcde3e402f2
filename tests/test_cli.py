"""The command: its help, its answers to mistakes, its speed, its completion in a real bash."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ip2p_lightning
from ip2p_lightning.cli import main
from ip2p_lightning.config import config_dir, config_name
from ip2p_lightning.jobs.completion import candidates
from ip2p_lightning.jobs.guide import JOBS, experiments, subjects
from ip2p_lightning.methods.checkpoint import load_module

ROOT = Path(ip2p_lightning.__file__).resolve().parents[1]
EDIT = ["edit", "checkpoint=mgie", "scene=a red castle", "instruction=make it winter!", "output=out.png"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.root, "handlers", [])  # Hydra's write to a terminal that ends with the test


def output(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def error(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.parametrize("words", [(), ("--help",), ("help",)])
def test_help_names_every_job_and_experiment(capsys, words):
    text = output(capsys, *words)
    assert all(f"\n  {job} " in text for job in JOBS)
    assert all(name in text for name in experiments())
    assert max(len(line) for line in text.splitlines()) <= 160


@pytest.mark.parametrize("job", JOBS)
def test_help_of_a_job_names_its_keys_and_groups(capsys, job):
    text = output(capsys, job, "--help")
    assert text == output(capsys, job, "-h", "seed=1")
    assert "ip2p " + job in text
    if job in {"train", "evaluate"}:
        assert "data=... (pairs" in text
        assert "  world_tiny " in text


def test_help_of_train_has_its_own_experiments_and_the_keys_that_people_change(capsys):
    text = output(capsys, "train", "--help")
    assert "generate/tiny" not in text
    assert all(key in text for key in ("data.batch_size", "trainer.max_steps", "stages.0.max_steps", "ip2p/world "))


def test_help_of_a_command_shows_its_keys_and_those_of_a_format(capsys):
    text = output(capsys, "data", "import", "--help")
    assert text.startswith("usage: ip2p data import ")
    assert "format.columns.edited_image=" in text
    assert "splits=null" in text
    assert "columns=3" not in text, "a key of show"
    assert "data verify" not in text
    assert "format.columns.edited_image=target_img" in output(capsys, "data", "import", "format=magicbrush", "--help")


def test_help_shows_the_keys_of_an_option_that_is_named(capsys):
    assert "filter.thresholds.direction=0.2" in output(capsys, "generate", "generation/filter=paper", "--help")


def test_help_imports_nothing_heavy():
    code = "import sys; from ip2p_lightning.cli import main; main(['--help']); print(sorted(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    loaded = printed.splitlines()[-1]
    assert not any(f"'{name}'" in loaded for name in ("torch", "lightning", "diffusers", "transformers", "matplotlib"))


def test_every_job_has_a_module_and_a_configuration():
    for subject in subjects():
        assert (config_dir() / f"{config_name(subject)}.yaml").is_file()
    for job in JOBS:
        assert (Path(ip2p_lightning.__file__).parent / "jobs" / f"{job}.py").is_file()


BUILDS_NOTHING = {
    "app", "audit", "benchmark", "calibrate", "compare", "convert", "data", "edit", "export", "preference", "sample",
    "serve", "study", "zoo",
}  # fmt: skip
"""Jobs whose configurations name no classes."""


def test_every_example_in_the_help_composes(capsys):
    for job, entry in JOBS.items():
        for example in entry.examples:
            words = shlex.split(example, comments=True)[1:]
            if "-m" in words:  # one run of the grid
                words = [word.split(",")[0] for word in words if word != "-m"]
            assert "_target_" in output(capsys, job, *words, "--cfg", "job") or job in BUILDS_NOTHING


def test_the_version(capsys):
    assert output(capsys, "--version") == f"ip2p {ip2p_lightning.__version__}\n"


def test_the_composed_configuration_is_shown(capsys):
    text = output(capsys, "train", "experiment=mgie/tiny", "--cfg", "job", "--package", "trainer", "seed=3")
    assert "accelerator: cpu" in text


def test_flags_may_stand_anywhere(capsys, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    mine = "# @package _global_\ndefaults:\n  - /experiment/ip2p/tiny\nseed: 77\n"
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(mine)
    text = output(capsys, "train", "experiment=own", "--config-dir", "mine", "threads=1", "--cfg", "job")
    assert "seed: 77" in text
    assert "threads: 1" in text


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["trian"], ["no job 'trian'", "did you mean `ip2p train`?"]),
        (["--hlep"], ["no job '--hlep'. The jobs are"]),
        (["app", "server_port=1"], ["did you mean port?"]),
        (["sample", "guidance_scale=3"], ["did you mean guidance?"]),
        (["benchmark", "n=3"], ["did you mean samples?"]),
        (["train", "trainer.max_step=3"], ["no key 'trainer.max_step'", "trainer.max_steps"]),
        (["train", "batch_size=3"], ["no key 'batch_size'", "data.batch_size"]),
        (["train", "denoser=unet_tiny"], ["no key 'denoser'", "denoiser"]),
        (["train", "denoiser=unet_tny"], ["denoiser=unet_tiny", "Options of denoiser: "]),
        (["train", "experiment=ip2p/wrld"], ["experiment=ip2p/world", "Options of experiment: "]),
        (["train", "experiment=ip2p/tiny", "+data.btch_size=3"], ["data (", "'btch_size'", "did you mean batch_size"]),
        (["train", "experiment=mgie/world"], ["base needs a value: base=..."]),
        (["train", "ckpt=nowhere.ckpt"], ["ckpt=nowhere.ckpt is no file"]),
        (["train", "a=b=c(", "seed=1"], ["a=b=c( cannot be read", "a=[a,b]"]),
        (["train", "seed"], ["'seed' is no key=value"]),
        (["edit", "guidance_scale=7.5"], ["did you mean text_scale?"]),
        (["edit", "image_guidance_scale=1"], ["did you mean image_scale?"]),
        (["edit", "num_inference_steps=5"], ["did you mean steps?"]),
        (["edit", "prompt=make it winter!"], ["did you mean instruction?"]),
        (["edit", "--checkpoint", "x"], ["write checkpoint=x"]),
        (["edit", "--image=exif.jpg"], ["write image=exif.jpg"]),
        (["edit", "--num-inference-steps", "5"], ["write num_inference_steps=5"]),
        (["edit", "seeds=1,2"], ["write a list as seeds=[1,2]", "-m"]),
        (["train", "learning_rate=1"], ["did you mean optimizer.lr?"]),
        (["train", "experiment=ip2p/tiny", "data.path=x"], ["data=shards has it: data=shards data.path=..."]),
        (["train", "logger.wandb.name=x"], ["logger=wandb logger.wandb.name=..."]),
        (["generate", "filter=best"], ["filter is called generation/filter now; write generation/filter=best"]),
        (["train", "experiment=writer/tiny", "denoiser=unet_tiny"], ["it is a part of method=editing"]),
        (["data", "stats", "workers=2"], ["it belongs to ip2p data render, import, doctor, align"]),
        (["data", "wash"], ["must be one of render, import,", "not 'wash'"]),
        (["train", "logger=null"], ["~logger leaves out"]),
        (["train", "logger=tensorboard"], ["Options of logger: csv, wandb"]),
        (["train", "+ablation=lora"], ["ablation is there already: write it without +"]),
        (["generate", "sampler.steps=1"], ["no key 'sampler.steps'"]),
        (["train", "--config-dir", "nowhere"], ["nowhere' not found"]),
        (["train", "experiment=ip2p/tiny", "data.batch_size=1000"], ["lower data.batch_size to at most 32"]),
        (["evaluate", "data=world_tiny"], ["checkpoint needs a value"]),
        (["export", "checkpoint=mgie", "output=x"], ["comes with the package", ".ckpt of a run of yours"]),
        (
            ["evaluate", "editor=copy_input", "data=world_tiny", "metrics=[]", "output=x"],
            ["metrics: nothing is chosen", "choose alignment"],
        ),
        (["train", "experiment=ip2p/tiny", "~denoiser", "output_dir=x"], ["denoiser: nothing is chosen"]),
        (
            ["generate", "experiment=generate/tiny", "~generation/writer", "output_dir=x"],
            ["generation/writer: nothing is chosen", "choose endpoint"],
        ),
        (["edit", *EDIT[2:], "checkpoint=[a,b]"], ["checkpoint=[a,b] must be one path or one model"]),
        (["evaluate", "data=world_tiny", "checkpoint=[mgie,b]"], ["checkpoint=b does not exist"]),
    ],
)
def test_mistakes_are_named_with_a_remedy(capsys, words, messages):
    text = error(capsys, *words)
    assert all(message in text for message in messages), text
    assert len(text.splitlines()) < 12


def test_debug_shows_the_traceback():
    with pytest.raises(FileNotFoundError):
        main(["train", "experiment=ip2p/tiny", "ckpt=nowhere.ckpt", "--debug"])


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
    def broken(config):
        raise KeyError("a fault")

    monkeypatch.setattr("ip2p_lightning.jobs.edit.run", broken)
    with pytest.raises(KeyError, match="a fault"):
        main(EDIT)


def test_an_interrupted_job_says_so_without_a_traceback(monkeypatch, capsys):
    def interrupted(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("ip2p_lightning.jobs.edit.run", interrupted)
    assert main(EDIT) == 130
    assert capsys.readouterr().err == "ip2p edit: interrupted; files that are there are whole\n"
    with pytest.raises(KeyboardInterrupt):
        main([*EDIT, "--debug"])


@pytest.mark.parametrize(("reader", "code"), [("closed", 141), ("/dev/full", 2)])
def test_what_is_printed_may_have_no_reader_or_no_room(reader, code):
    target = subprocess.PIPE if reader == "closed" else open(reader, "w")  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "ip2p_lightning", "zoo", "list"], stdout=target, stderr=subprocess.PIPE, text=True
    )
    if process.stdout is not None:
        process.stdout.close()
    words = process.communicate()[1]
    assert process.returncode == code, words
    assert "Traceback" not in words
    assert "Exception ignored" not in words


def test_a_job_sees_the_real_command_line(monkeypatch):
    """Lightning starts the other ranks of a distributed run with it."""
    seen = []
    words = ["/bin/ip2p", *EDIT, "seeds=[3]"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr("ip2p_lightning.jobs.edit.run", lambda config: seen.append((list(sys.argv), config.seeds)))
    assert main() == 0
    assert seen == [(words, [3])]
    assert "HYDRA_FULL_ERROR" not in os.environ or os.environ["HYDRA_FULL_ERROR"] == "0"


def test_a_grid_of_runs(tmp_path):
    quick = ["trainer.max_steps=1", "~callbacks.pictures", "~callbacks.summary"]
    assert main(["train", "-m", "experiment=ip2p/tiny,lgie/tiny", "seed=1,2", *quick]) == 0
    runs = sorted((tmp_path / "multirun").rglob("last.ckpt"))
    assert len(runs) == 4


def test_a_job_of_a_sweep_goes_on_from_its_own_folder_alone(tmp_path):
    quick = ["trainer.max_steps=1", "~callbacks.pictures", "~callbacks.summary", f"hydra.sweep.dir={tmp_path}/sweep"]
    for _ in range(2):  # the second time each finds its own
        assert main(["train", "-m", "experiment=ip2p/tiny", "dropout.text=0.1,0.2", "ckpt=auto", *quick]) == 0
    for job, rate in enumerate((0.1, 0.2)):
        assert load_module(tmp_path / f"sweep/{job}/checkpoints/last.ckpt").dropout.text == rate


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ip2p ", "quickstart"),
        ("ip2p tr", "train"),
        ("ip2p data re", "render"),
        ("ip2p data render outp", "output="),
        ("ip2p train exp", "experiment="),
        ("ip2p train experiment=mg", "experiment=mgie/tiny"),
        ("ip2p train experiment=mgie/w", "experiment=mgie/world"),
        ("ip2p train denoiser=unet_t", "denoiser=unet_tiny"),
        ("ip2p train trainer.max_s", "trainer.max_steps="),
        ("ip2p train experiment=ip2p/tiny callbacks.ema.", "callbacks.ema.decay="),
        ("ip2p train --de", "--debug"),
        ("ip2p edit checkpoint=mod", "checkpoint=models/"),
        ("ip2p edit checkpoint=models/l", "checkpoint=models/last.ckpt"),
    ],
)
def test_completion_offers(tmp_path, line, expected):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "last.ckpt").touch()
    assert expected in candidates(line)


@pytest.mark.parametrize("line", ["ip2p nothing ", "ip2p train no_such_key", "ip2p edit image=nowhere/x"])
def test_completion_has_nothing_to_offer(line):
    assert candidates(line) == []


def test_completion_of_other_shells_is_not_promised(capsys):
    assert "only bash" in error(capsys, "completion", "fish")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_completion_in_bash(tmp_path):
    """A real bash evaluates the script and completes, words with = and / included."""
    command = tmp_path / "bin" / "ip2p"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m ip2p_lightning "$@"\n')
    command.chmod(0o755)
    script = f"""
        export PATH={command.parent}:$PATH PYTHONPATH={ROOT}
        compopt() {{ echo "nospace"; }}  # there is no line editor here
        eval "$(ip2p completion bash)"
        press() {{ COMP_LINE="$1"; COMP_POINT=${{#1}}; COMPREPLY=(); _ip2p_complete ip2p; echo "${{COMPREPLY[*]}}"; }}
        complete -p ip2p
        press "ip2p ev"
        press "ip2p train experiment=lgie/t"
        press "ip2p train trainer.max_st"
    """
    printed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "_ip2p_complete" in printed[0]
    assert printed[1:] == ["evaluate", "experiment=lgie/tiny", "nospace", "trainer.max_steps="]


def test_help_may_be_cut_short_by_its_reader():
    process = subprocess.Popen(
        [sys.executable, "-m", "ip2p_lightning", "train", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()  # as `head` does
    assert process.communicate()[1] == b""
    assert process.returncode == 0
