"""The editing module against straight transcriptions of the papers' equations, and through Lightning."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from factories import IP2P, LGIE, MGIE, MULTIMODAL, WORLD, quiet_trainer, stage, tiny_batch, tiny_loader, tiny_module
from torch import Tensor
from torch.utils.data import DataLoader

from ip2p_lightning.callbacks.conditioning_monitor import instruction_dependence
from ip2p_lightning.callbacks.ema import EMA
from ip2p_lightning.data.pair import PairBatch
from ip2p_lightning.methods.editing import EditingModule
from ip2p_lightning.models.denoiser import UNetDenoiser

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def alphas_cumprod() -> Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return torch.cumprod(1 - betas, 0)


def editing_loss(module: EditingModule, batch: PairBatch, text: Tensor, null: Tensor) -> Tensor:
    """InstructPix2Pix eq. 1 with its conditioning dropout of 5 % text, 5 % both, 5 % picture."""
    vae, unet = module.autoencoder.vae, module.denoiser.network
    with torch.no_grad():
        edited = vae.encode(batch.edited_image).latent_dist.sample() * vae.config.scaling_factor
        original = vae.encode(batch.original_image).latent_dist.mode()
    noise = torch.randn(edited.shape)  # not randn_like, whose numbers depend on the memory layout
    t = (torch.rand(len(batch)) * 1000).long()
    abar = alphas_cumprod()[t].view(-1, 1, 1, 1)
    noisy = abar.sqrt() * edited + (1 - abar).sqrt() * noise
    p = torch.rand(len(batch))
    text, original = text.clone(), original.clone()
    for row in range(len(batch)):
        if p[row] < 0.10:
            text[row] = null[row]
        if 0.05 <= p[row] < 0.15:
            original[row] = 0
    predicted = unet(torch.cat([noisy, original], 1), t, encoder_hidden_states=text).sample
    return ((predicted - noise) ** 2).mean()


def ip2p_loss(module: EditingModule, batch: PairBatch) -> dict[str, Tensor]:
    conditioner = module.conditioner
    options = {"padding": "max_length", "max_length": 12, "truncation": True, "return_tensors": "pt"}
    ids, empty = (conditioner.tokenizer(t, **options).input_ids for t in (batch.instruction, [""] * len(batch)))
    with torch.no_grad():
        text, null = (conditioner.text_encoder(i).last_hidden_state for i in (ids, empty))
    return {"editing_loss": editing_loss(module, batch, text, null)}


def mgie_loss(module: EditingModule, batch: PairBatch) -> dict[str, Tensor]:
    """MGIE eqs. 2 to 6, a sequence at a time: cross entropy by transformers, edit head on the states before [IMG]s."""
    model, tokenizer, head = module.conditioner.model, module.conditioner.tokenizer, module.conditioner.edit_head
    special = {token: tokenizer.convert_tokens_to_ids(token) for token in ("<im_patch>", "<im_start>", "<im_end>")}
    images = [tokenizer.convert_tokens_to_ids(f"[IMG{index}]") for index in range(4)]
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (CLIP_MEAN, CLIP_STD))
    entropy, tokens, text, null = torch.zeros(()), 0, [], []
    e = model.get_input_embeddings().weight[images]
    for row in range(len(batch)):
        words, answer = (
            tokenizer(line, add_special_tokens=False).input_ids
            for line in (batch.instruction[row], batch.expressive_instruction[row])
        )
        picture = [special["<im_start>"], *[special["<im_patch>"]] * 4, special["<im_end>"]]
        prompt = [tokenizer.bos_token_id, *picture, *words]
        ids = torch.tensor([[*prompt, *answer, *images, tokenizer.eos_token_id]])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        pixels = ((batch.original_image[row : row + 1] + 1) / 2 - mean) / std
        output = model(input_ids=ids, pixel_values=pixels, labels=labels, output_hidden_states=True)
        count = len(answer) + 5
        entropy, tokens = entropy + output.loss * count, tokens + count
        before = ids[0].tolist().index(images[0]) - 1
        states = output.hidden_states[-1][:, before : before + 4]
        text.append(head(states, e))
        null.append(head(torch.zeros_like(states), e))
    return {
        "instruction_loss": entropy / tokens,
        "editing_loss": editing_loss(module, batch, torch.cat(text), torch.cat(null)),
    }


@pytest.mark.parametrize(
    ("config", "transcription", "weights"),
    [
        (IP2P, ip2p_loss, {"editing_loss": 1.0}),
        (MGIE, mgie_loss, {"instruction_loss": 1.0, "editing_loss": 0.5}),
    ],
    ids=["ip2p", "mgie"],
)
@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_training_step_equals_the_equations(config: dict, transcription: object, weights: dict[str, float]) -> None:
    batch = tiny_batch(count=24, size=16)  # enough for each kind of dropout
    module = tiny_module(config)
    module.parameter_groups()
    module.train()
    reference = copy.deepcopy(module)

    result = module.training_step(batch, 0)
    result["loss"].backward()
    torch.manual_seed(module.step_generator(torch.initial_seed(), 0, 0).initial_seed())
    losses = transcription(reference, batch)
    total = sum(weights[name] * loss for name, loss in losses.items())
    total.backward()

    for name, loss in losses.items():
        torch.testing.assert_close(result[name], loss.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result["loss"], total, rtol=1e-5, atol=1e-6)
    checked = 0
    expected = dict(reference.named_parameters())
    for name, parameter in module.named_parameters():
        assert (parameter.grad is None) == (expected[name].grad is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-3, atol=1e-6)
            checked += 1
    assert checked == sum(parameter.requires_grad for parameter in module.parameters())


def test_paper_stage_of_mgie_trains_embeddings_head_and_denoiser_alone() -> None:
    module = tiny_module(MGIE)
    module.parameter_groups()
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    starts = ("conditioner.edit_head.", "denoiser.")
    words = {
        "conditioner.model.lm_head.weight",
        "conditioner.model.model.language_model.embed_tokens.weight",
    }
    assert trained == words | {name for name, _ in module.named_parameters() if name.startswith(starts)}


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("config", [MGIE, WORLD], ids=["mgie", "world"])
def test_half_precision(config: dict, precision: str) -> None:
    module = tiny_module(config)
    trainer = quiet_trainer(max_steps=2, precision=precision)
    trainer.fit(module, tiny_loader(), tiny_loader(1))
    assert all(torch.isfinite(value) for value in trainer.callback_metrics.values())
    batch = tiny_batch()
    with trainer.precision_plugin.forward_context():
        images = batch.original_image.to(module.dtype)
        assert module.eval().edit(images, batch.instruction)[0].isfinite().all()


@pytest.mark.parametrize("config", [IP2P, MGIE, LGIE, WORLD], ids=["ip2p", "mgie", "lgie", "world"])
def test_fit_and_validate(config: dict) -> None:
    module = tiny_module(config)
    before = copy.deepcopy(module.state_dict())
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, tiny_loader(), tiny_loader(1))
    assert {"train/loss", "train/editing_loss", "val/editing_loss"} <= trainer.callback_metrics.keys()
    after = module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("denoiser.") for name in changed)
    assert not any(name.startswith("autoencoder.") for name in changed)
    assert changed <= {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def test_autoencoder_stays_frozen_whatever_the_patterns() -> None:
    module = tiny_module(stages=[stage(trainable={"*": {}})])
    module.parameter_groups()
    assert not any(parameter.requires_grad for parameter in module.autoencoder.parameters())
    module = tiny_module(stages=[stage(trainable={"autoencoder.*": {}})])
    with pytest.raises(ValueError, match="matches no parameter"):
        module.parameter_groups()


def test_frozen_parts_are_frozen_before_a_strategy_wraps_the_module() -> None:
    module = tiny_module(MGIE)
    assert all(parameter.requires_grad for parameter in module.conditioner.parameters())
    module.setup("fit")
    frozen = module.conditioner.model.model.language_model.layers
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_every_trained_parameter_gets_a_gradient() -> None:
    """What DDP asks for without `find_unused_parameters`."""
    for config in (IP2P, MGIE, LGIE):
        module = tiny_module(config)
        module.parameter_groups()
        sum(module(tiny_batch()).values()).backward()
        assert not [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]


def test_ranks_epochs_and_steps_draw_apart_and_resuming_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_module()
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(EditingModule, "global_rank", rank)
        drawn += [torch.rand(4, generator=module.step_generator(0, *step)) for step in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(numbers.tolist()) for numbers in drawn}) == 6
    assert torch.equal(drawn[-1], torch.rand(4, generator=module.step_generator(0, 1, 0)))


def test_resumed_run_ends_in_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    whole = tiny_module()
    quiet_trainer(max_epochs=2).fit(whole, tiny_loader(2))
    first = quiet_trainer(max_epochs=1)
    first.fit(tiny_module(), tiny_loader(2))
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = tiny_module(seed=9)
    torch.rand(7)  # another state of the global generator
    quiet_trainer(max_epochs=2).fit(resumed, tiny_loader(2), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    expected = whole.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.state_dict().items())


def test_validation_is_the_same_each_time_and_leaves_the_random_state_alone() -> None:
    module = tiny_module()
    trainer = quiet_trainer()
    state = torch.random.get_rng_state()
    first = trainer.validate(module, tiny_loader(), verbose=False)
    second = trainer.validate(module, tiny_loader(), verbose=False)
    assert first == second
    torch.random.set_rng_state(state)
    torch.rand(3)
    assert trainer.validate(module, tiny_loader(), verbose=False) == first


def test_stage_without_editing_loss_does_not_run_the_denoiser(monkeypatch: pytest.MonkeyPatch) -> None:
    only = stage(loss_weights={"instruction_loss": 1.0}, trainable={"conditioner.*": {}})
    module = tiny_module(MGIE, stages=[only])
    monkeypatch.setattr(UNetDenoiser, "predict", lambda *_: pytest.fail("the denoiser was run"))
    assert set(module(tiny_batch())) == {"instruction_loss"}


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_learning_rate_schedule_follows_the_stage(decay: str) -> None:
    only = stage(trainable={"denoiser.*": {"lr": 0.5}}, max_steps=4, warmup=2, decay=decay)
    module = tiny_module(stages=[only], optimizer={"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1.0})
    rates = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    quiet_trainer(max_steps=4, callbacks=[Watch()]).fit(module, tiny_loader(4))
    assert rates == pytest.approx([0, 0.25, 0.5, 0.25 if decay == "cosine" else 0.5])


def test_edit_depends_on_generators_not_on_the_batch() -> None:
    module = tiny_module().eval()
    batch = tiny_batch()
    seeds = [torch.Generator().manual_seed(seed) for seed in (5, 6, 7)]
    together, condition = module.edit(batch.original_image, batch.instruction, generator=seeds)
    alone, _ = module.edit(
        batch.original_image[1:2], batch.instruction[1:2], generator=[torch.Generator().manual_seed(6)]
    )
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=1e-4)
    assert together.abs().max() <= 1
    again, _ = module.edit(
        batch.original_image,
        [""] * 3,
        condition,
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6, 7)],
    )
    assert torch.equal(again, together), "a given condition takes the place of the instructions"


def test_edit_returns_expressive_instructions() -> None:
    batch = tiny_batch()
    _, condition = tiny_module(MGIE).eval().edit(batch.original_image, batch.instruction)
    assert len(condition.expressive_instructions) == 3


def test_residual_model_that_knows_nothing_copies_the_original() -> None:
    module = tiny_module(WORLD).eval()
    batch = tiny_batch()
    for scale in (1.0, 3.0):
        guidance = module.sampler.guidance.with_scales(scale, 1.0)
        edited, _ = module.edit(batch.original_image, batch.instruction, guidance=guidance)
        torch.testing.assert_close(edited, batch.original_image, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ({"prediction_type": "v_prediction"}, "give both the same prediction_type"),
        ({"beta_end": 0.02}, r"beta_end 0\.012 / 0\.02"),
        ({"num_train_timesteps": 500}, "num_train_timesteps 1000 / 500"),
    ],
)
def test_sampler_that_does_not_undo_training_is_refused(scheduler: dict, message: str) -> None:
    sampler = copy.deepcopy(IP2P["sampler"])
    sampler["scheduler"] |= scheduler
    with pytest.raises(Exception, match=message):
        tiny_module(sampler=sampler)


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("conditioner", "text_encoder", {"hidden_size": 16}, r"states of width 16.*network\.embedding_dim=16"),
        ("autoencoder", "vae", {"latent_channels": 8}, r"latents have 8 channels.*network\.latent_channels=8"),
    ],
)
@pytest.mark.parametrize("config", [IP2P, WORLD], ids=["unet", "transformer"])
def test_parts_of_different_widths_are_refused(config: dict, part: str, name: str, value: dict, message: str) -> None:
    changed = config[part] | {name: config[part][name] | value}
    with pytest.raises(Exception, match=message):
        tiny_module(config, **{part: changed})


def test_residual_needs_the_sample_objective() -> None:
    with pytest.raises(Exception, match="use the sample objective or residual 0"):
        tiny_module(denoiser=IP2P["denoiser"] | {"residual": 1.0})


def test_ema_validates_and_ends_with_the_average() -> None:
    module = tiny_module()
    before = module.denoiser.network.conv_in.weight.detach().clone()
    quiet_trainer(max_steps=3, callbacks=[EMA(0.9)]).fit(module, tiny_loader(3), tiny_loader(1))
    assert not torch.equal(module.denoiser.network.conv_in.weight, before)


@pytest.mark.slow
def test_condition_depends_on_the_instruction_after_alignment() -> None:
    """The edit head of a small model can collapse to a constant; aligned to a teacher it does not."""
    head = MULTIMODAL["edit_head"] | {"hidden_dim": 32, "query_std": 0.1}
    module = tiny_module(
        MGIE,
        conditioner=MULTIMODAL | {"edit_head": head},
        stages=[stage(loss_weights={"alignment_loss": 1.0}, trainable={"conditioner.*": {"lr": 1e-3}})],
        optimizer={"_target_": "torch.optim.AdamW", "_partial_": True},
    )
    teacher = tiny_module(IP2P, seed=1).conditioner
    module.conditioner.align_to(teacher)
    batch = tiny_batch(count=5, size=16)
    quiet_trainer(max_steps=250).fit(module, DataLoader([batch] * 250, batch_size=None))
    module.eval()
    assert instruction_dependence(module.conditioner, batch) > 0.25 * instruction_dependence(teacher, batch)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_fused_optimizer_goes_with_gradient_clipping(precision: str) -> None:
    norms = []

    class Watched(torch.optim.AdamW):
        def step(self, closure: Callable[[], Tensor]) -> Tensor:
            loss = super().step(closure)
            grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
            norms.append(torch.stack([grad.norm() for grad in grads]).norm().item())
            return loss

    module = tiny_module(IP2P)
    module.optimizer_factory = functools.partial(Watched, fused=True)
    quiet_trainer(max_steps=1, precision=precision, gradient_clip_val=1e-6).fit(module, tiny_loader())
    assert norms == [pytest.approx(1e-6, rel=1e-2)]
