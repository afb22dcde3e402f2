"""The cascade's networks: shapes, start values, what they depend on, saving, and the paper's sizes."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel

from ip2p_lightning.config import build, compose, plain
from ip2p_lightning.models.efficient_unet import EfficientUNet
from ip2p_lightning.models.pixel_transformer import PixelTransformer

TEXT = {"text_dim": 12, "text_width": 8, "pooling_heads": 2}
UNET = {
    "sample_size": 16, "widths": (8, 16), "blocks": (1, 2), "heads": 2, "condition_width": 8, "norm_groups": 4, **TEXT,
}  # fmt: skip
PIXELS = {"sample_size": 8, "patch_size": 2, "width": 16, "layers": 2, "heads": 2, **TEXT}


def networks() -> list:
    return [
        EfficientUNet(**UNET, attention=("none", "self")),
        EfficientUNet(**UNET, attention=("cross", "cross")),
        PixelTransformer(**PIXELS, in_channels=6, noise_levels=True),
    ]


def inputs(side: int = 16) -> dict:
    return {
        "sample": torch.randn(2, 6, side, side), "timestep": torch.tensor([10, 900]),
        "encoder_hidden_states": torch.randn(2, 7, 12), "class_labels": torch.tensor([0, 400]),
    }  # fmt: skip


def shaken(network):
    """No weight at zero, so that everything shows."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network.eval()


@pytest.mark.parametrize("number", range(3))
def test_shapes_and_start(number: int):
    network = networks()[number]
    for side in (8, 16):
        output = network(**inputs(side)).sample
        assert output.shape == (2, 6, side, side)
        assert not output.any()  # the head starts at zero, the variance stays there
    assert not shaken(network)(**inputs())[0][:, 3:].any()


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("changed", ["sample", "timestep", "encoder_hidden_states", "class_labels"])
def test_the_prediction_depends_on_everything(number: int, changed: str):
    network, given = shaken(networks()[number]), inputs()
    other = given | {changed: given[changed].flip(0)}
    assert not torch.allclose(network(**given)[0], network(**other)[0])


@pytest.mark.parametrize("number", range(3))
def test_every_parameter_learns_also_under_checkpointing(number: int):
    network = shaken(networks()[number]).train()
    given = inputs()
    gradients = []
    for switch in (network.disable_gradient_checkpointing, network.enable_gradient_checkpointing):
        switch()
        network.zero_grad()
        network(**given)[0][:, :3].square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
    for name, gradient in gradients[0].items():
        # Behind the key's bias softmax is blind.
        assert gradient.any() or name.endswith(("bias", "pool.positional_embedding")), name
        torch.testing.assert_close(gradient, gradients[1][name])


@pytest.mark.parametrize("number", range(3))
def test_saved_networks_open_alike(number: int, tmp_path):
    network = shaken(networks()[number])
    network.save_pretrained(tmp_path)
    given = inputs()
    assert torch.equal(network(**given)[0], type(network).from_pretrained(tmp_path).eval()(**given)[0])


def test_low_levels_hold_the_blocks_and_skips_are_scaled():
    network = shaken(EfficientUNet(**UNET, attention=("none", "none")))
    sides: dict[str, int] = {}
    for name, part in [*network.down.named_children(), *network.up.named_children()]:
        part.register_forward_pre_hook(lambda _, args, name=name: sides.update({name: args[0].shape[-1]}))
    network(**inputs())
    assert sides == {"0": 8, "1": 4}  # half and a quarter: each level shrinks before its blocks and grows behind them
    for grow in network.grow:
        grow.weight.data.zero_()
        grow.bias.data.zero_()
    heard = []
    network.norm.register_forward_pre_hook(lambda _, args: heard.append(args[0]))
    given = inputs()
    network(**given)
    torch.testing.assert_close(heard[0], network.stem(given["sample"]) / 2**0.5)


def test_mistakes():
    with pytest.raises(ValueError, match="one entry a level"):
        EfficientUNet(widths=(8,), blocks=(1, 2), attention=("none",))
    given = inputs()
    with pytest.raises(ValueError, match="needs class_labels"):
        networks()[0](**(given | {"class_labels": None}))
    with pytest.raises(ValueError, match="takes no class_labels"):
        PixelTransformer(**PIXELS, in_channels=6)(**given)


@pytest.mark.parametrize(("stage", "published"), [("base", 2.0e9), ("sr256", 600e6), ("sr1024", 400e6)])
def test_the_papers_sizes(stage: str, published: float):
    config = plain(compose("train", [f"experiment=imagen/paper/{stage}", "data.path=unused", "output_dir=unused"]))
    with torch.device("meta"):
        network = build(config["network"])
        low = config.get("low_resolution")
        images, labels = (1, None) if low is None else (2, torch.empty(2))
        side = config["crop"] or network.config.sample_size
        sample, states = torch.empty(2, 3 * images, side, side), torch.empty(2, 77, 4096)
        output = network(sample, torch.empty(2), states, class_labels=labels).sample
    count = sum(parameter.numel() for parameter in network.parameters())
    assert abs(count / published - 1) < 0.05
    assert output.shape == (2, 6, side, side)
    assert isinstance(network, UNet2DConditionModel if stage == "base" else EfficientUNet)
