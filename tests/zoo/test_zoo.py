"""The zoo: runs become folders with cards, folders open again, and figures are what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ip2p_lightning import zoo
from ip2p_lightning.cli import main
from ip2p_lightning.config import compose
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.jobs.train import train
from ip2p_lightning.models.dual_encoder import DualEncoder
from ip2p_lightning.models.judge import AttributeJudge
from ip2p_lightning.shipped import NAMES
from ip2p_lightning.zoo import dual_encoder, judge
from ip2p_lightning.zoo.card import Card
from ip2p_lightning.zoo.curves import MOST_ROWS, save_curve
from ip2p_lightning.zoo.dual_encoder import area
from ip2p_lightning.zoo.editing import PHOTO_KINDS
from ip2p_lightning.zoo.figures import Tally, family

COMMON = [
    "trainer.log_every_n_steps=1",
    "data.validation=null", "data.batch_size=4", "data.workers=0", "stages.0.max_steps=1", "trainer.precision=32-true",
    "~callbacks.summary", "callbacks.progress.line_interval=1000",
]  # fmt: skip
SCENES = ["data.train.size=32", "data.train.count=8"]
EDITING = [
    *(f"data.train.{part}.count=8" for part in range(2)), "data.transform.resolution=32",
    "denoiser.network.layers=1", "denoiser.network.width=24", "denoiser.network.heads=3",
    "denoiser.network.sample_size=4",
    "autoencoder.vae.sources=null", "compile=false",
]  # fmt: skip
WRITING = [
    "conditioner.model.layers=1", "conditioner.max_new_tokens=2", "stages.1.max_steps=1",
    "stages.2.max_steps=1",
]  # fmt: skip
BASE = "runs/instruct_pix2pix/checkpoints/last.ckpt"
SMALL = {
    "judge": [
        "data.transform.resolution=32", "data.train.0.count=8", "data.train.1.count=8",
        "judge.size=32", "judge.widths=[8,8,8]", "judge.hidden=16",
    ],
    "dual_encoder": [
        *SCENES, "encoder.width=32", "encoder.layers=1", "encoder.text_layers=1", "encoder.image_size=32",
    ],
    "text_to_image": [
        *SCENES, "unet.widths=[8,8]", "unet.heads=2", "unet.latent_channels=12", "unet.sample_size=4",
        "autoencoder.vae.latent_channels=12", "autoencoder.vae.sources=null",
    ],
    "instruct_pix2pix": [*EDITING, "stages.1.max_steps=1"],
    "lgie": [*EDITING, *WRITING],
    "mgie": [*EDITING, *WRITING],
}  # fmt: skip
WRITERS = ("lgie", "mgie")
STEPS = {"instruct_pix2pix": 2, "lgie": 3, "mgie": 3}
"""One for each stage; one stage where nothing is said."""
QUICK = ["count=6", "size=32"]


class Perfect(AttributeJudge):
    """Knows what the pairs show: first all originals, then all edited pictures."""

    def knowing(self, pairs: WorldSource) -> Perfect:
        truths = [pair.metadata["attributes"] for pair in map(pairs.__getitem__, range(len(pairs)))]
        self.answers_left = [[dict(truth[side]) for truth in truths] for side in ("edited", "original")]
        return self

    def read(self, images: torch.Tensor) -> list[dict[str, str]]:
        return self.answers_left.pop()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo of models that were trained for one step each."""
    folder = tmp_path_factory.mktemp("zoo")
    for name, small in SMALL.items():
        run = folder / "runs" / name
        base = [f"base={folder / BASE}"] if name in WRITERS else []
        train(compose("train", [f"experiment=zoo/{name}", f"output_dir={run}", *base, *COMMON, *small]))
        words = [f"name={name}", f"checkpoint={run}/checkpoints/last.ckpt", f"root={folder}", "hours=0.5", *QUICK]
        assert main(["zoo", "add", *words]) == 0
    return folder


@pytest.mark.slow
def test_each_folder_opens_and_has_a_card(root: Path):
    for name, kind in [
        ("judge", "AttributeJudge"),
        ("dual_encoder", "DualEncoder"),
        ("text_to_image", "StableDiffusionPipeline"),
        ("instruct_pix2pix", "TrainedEditor"),
        ("lgie", "TrainedEditor"),
        ("mgie", "TrainedEditor"),
    ]:
        model, card = zoo.load(name, root), Card.load(zoo.path(name, root))
        assert type(model).__name__ == kind
        assert (card.steps, card.seed, card.hours, card.batch_size) == (STEPS.get(name, 1), 0, 0.5, 4)
        assert card.measured_on["count"] == 6
        assert len(card.fingerprint) == 16
        text = (zoo.path(name, root) / "README.md").read_text()
        assert f"ip2p train experiment=zoo/{name} seed=0" in text
        assert all(limit in text for limit in zoo.entry(name).LIMITS)
        writes = "visual: nothing written, success" in card.figures
        assert writes == ("visual: InstructPix2Pix given the text, success" in card.figures) == (name in WRITERS)


@pytest.mark.slow
def test_evaluating_again_gives_the_card_s_figures(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["zoo", "evaluate", "name=dual_encoder", f"root={root}", *QUICK]) == 0
    printed = capsys.readouterr().out
    figure = Card.load(root / "dual_encoder").figures["AUC unrelated"]
    assert printed.count(f"{figure['estimate']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})") >= 2


@pytest.mark.slow
def test_list_and_card(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["zoo", "list", f"root={root}"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)
    assert main(["zoo", "card", "name=judge", f"root={root}"]) == 0
    assert "# judge" in capsys.readouterr().out


def test_photographs_are_measured_by_what_training_does_to_them():
    photographs = compose("train", ["experiment=zoo/instruct_pix2pix"]).data.train[1]
    assert tuple(photographs.kinds) == PHOTO_KINDS


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"make them with `ip2p train experiment=zoo/judge`"):
        zoo.path("judge", tmp_path)
    with pytest.raises(ValueError, match="the zoo has no 'lion'; it has judge, dual_encoder"):
        zoo.path("lion")


def test_add_says_what_it_needs(capsys: pytest.CaptureFixture[str]):
    assert main(["zoo", "add", "name=judge"]) == 2
    assert "checkpoint=RUN/checkpoints/last.ckpt" in capsys.readouterr().err


@pytest.mark.slow
def test_the_curve_of_the_run_lies_beside_the_weights(root: Path):
    for name in SMALL:
        lines = (zoo.path(name, root) / "curve.csv").read_text().splitlines()
        assert lines[0].startswith("step,train/")
        assert len(lines) > 1


def test_a_curve_is_small_and_keeps_means_validation_and_interrupted_attempts(tmp_path: Path):
    def log(folder: str, steps: range) -> None:
        (tmp_path / folder).mkdir()
        rows = [f"{step},{step % 2},{step % 2},{step if step % 500 == 0 else ''}" for step in steps]
        (tmp_path / folder / "metrics.csv").write_text("\n".join(["step,train/a_loss,train/loss,val/a_loss", *rows]))

    log("metrics-00", range(2700))  # went on from the checkpoint of step 2400
    log("metrics", range(2400, 6000))
    assert save_curve(tmp_path, tmp_path / "curve.csv")
    header, *rows = [line.split(",") for line in (tmp_path / "curve.csv").read_text().splitlines()]
    assert header == ["step", "train/a_loss", "val/a_loss"]  # one loss, told once
    assert [row[0] for row in rows if row[2]] == [str(step) for step in range(0, 6000, 500)]
    means = [float(row[1]) for row in rows if row[1]]
    assert (len(means), set(means)) == (MOST_ROWS, {0.5})
    assert (tmp_path / "curve.csv").stat().st_size < 10_000
    assert not save_curve(tmp_path / "empty", tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_a_perfect_judge_has_figures_of_one():
    pairs = WorldSource(8, size=16, level="full", split="validation")
    figures = judge.measure(Perfect(size=16, widths=(8, 8, 8), hidden=8).knowing(pairs), pairs)
    assert {interval.estimate for interval in figures.values()} == {1.0}
    assert next(iter(figures)) == "accuracy"
    assert {"thing that is there", "kept", "look"} <= figures.keys()
    assert any(name.startswith("edit: ") for name in figures)


def test_tallies_count_by_family():
    tally = Tally()
    tally.compare(
        {"left thing": "house", "time": "day"}, {"left thing": "nothing", "right thing": "bus", "time": "day"}
    )
    shares = {name: (i.estimate, i.values) for name, i in tally.intervals().items()}
    assert shares == {"accuracy": (1 / 3, 3), "thing": (0.0, 2), "thing that is there": (0.0, 1), "time": (1.0, 1)}
    assert [family(name) for name in ("left sky thing", "time", "centre part")] == ["sky thing", "time", "part"]


def test_the_area_under_the_curve():
    low, high = torch.linspace(-1, -0.1, 20), torch.linspace(0.1, 1, 20)
    assert area(high, low).estimate == 1
    assert area(low, high).estimate == 0
    assert area(low, low).estimate == pytest.approx(0.5)


def test_an_encoder_that_knows_nothing_separates_nothing():
    from ip2p_lightning.world.tokenizer import world_tokenizer

    encoder = DualEncoder(
        world_tokenizer(), embed_dim=8, image_size=8, patch_size=8, width=16, layers=1, head_width=8,
        text_width=16, text_layers=1, text_heads=2, context_length=24,
    ).eval()  # fmt: skip
    figures = dual_encoder.measure(encoder, WorldSource(20, size=8))
    assert abs(figures["AUC unrelated"].estimate - 0.5) < 0.35
    assert figures["retrieval of 100"].values == 20
