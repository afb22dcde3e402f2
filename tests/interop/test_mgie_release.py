"""MGIE's published files: a converted release edits as its authors' demo does, and nothing of it is lost in silence."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from hub_layout import STATES, tiny_text_encoder, tiny_unet, tiny_vae
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from ip2p_lightning.conditioners.multimodal import clip_pixels
from ip2p_lightning.config import compose
from ip2p_lightning.interop import export, load_pipeline
from ip2p_lightning.interop.mgie_release import open_release
from ip2p_lightning.jobs import convert
from ip2p_lightning.models.single_file import SCHEDULE
from ip2p_lightning.models.visual_tokens import with_visual_tokens
from ip2p_lightning.models.weight_files import WeightsError
from ip2p_lightning.world.tokenizer import world_tokenizer

WIDTH, SEEN, QUERIES, HIDDEN = 32, 16, 77, 16
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)


class Published(NamedTuple):
    """The folders that a user has."""

    release: Path
    llava: Path
    vision: Path
    base: Path

    def open(self) -> Any:
        return open_release(self.release, self.llava, self.vision, self.base, torch.float32)

    def altered(self, tmp_path: Path, file: str, change: Callable[[dict], dict]) -> Published:
        """The same with other content in a file of the release."""
        for name in ("mllm.pt", "unet.pt"):
            content = torch.load(self.release / name)
            torch.save(change(content) if name == file else content, tmp_path / name)
        return self._replace(release=tmp_path)


class Mapper(nn.Module):
    """The edit head, written from its description: names, sizes and order as in the release."""

    def __init__(self) -> None:
        super().__init__()
        self.llm2hid = nn.Linear(WIDTH, HIDDEN)
        self.query = nn.Parameter(torch.randn(1, QUERIES, HIDDEN))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor")
            self.mapper = nn.Transformer(HIDDEN, 4, 2, 2, 24, dropout=0.0, norm_first=True, batch_first=True)
        self.hid2feat = nn.Linear(HIDDEN, STATES)


def write_llava(folder: Path) -> int:
    """LLaVA as its authors publish it, in two pickled shards; gives the rows of its embeddings."""
    tokenizer = world_tokenizer()
    rows = len(tokenizer) + 3
    text = LlamaConfig(
        vocab_size=rows, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        initializer_range=0.2, rms_norm_eps=1e-5,
    )  # fmt: skip
    state = dict(LlamaForCausalLM(text).state_dict())
    state |= {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(8) for layer in range(2)}
    state |= {"model.mm_projector.weight": torch.randn(WIDTH, SEEN), "model.mm_projector.bias": torch.randn(WIDTH)}
    folder.mkdir()
    names = list(state)
    files = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    for file, part in zip(files, (names[:9], names[9:]), strict=True):
        torch.save({name: state[name] for name in part}, folder / file)
    weight_map = {name: files[index >= 9] for index, name in enumerate(names)}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    settings = {
        "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava", "hidden_size": WIDTH,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "rms_norm_eps": 1e-5,
        "vocab_size": rows, "mm_hidden_size": SEEN, "mm_vision_select_layer": -2, "mm_use_im_start_end": True,
        "mm_vision_tower": "openai/clip-vit-large-patch14", "use_mm_proj": True, "torch_dtype": "float16",
    }  # fmt: skip
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(settings))
    return rows


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    root = tmp_path_factory.mktemp("published")
    found = Published(*(root / name for name in Published._fields))
    torch.manual_seed(0)
    rows = write_llava(found.llava)
    vision = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=SEEN,
            intermediate_size=24,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        )
    )
    for parameter in vision.parameters():
        nn.init.normal_(parameter, std=0.3)
    vision.save_pretrained(found.vision)
    words = world_tokenizer()
    words.model_max_length = QUERIES
    kind: Any = StableDiffusionInstructPix2PixPipeline
    kind(
        unet=tiny_unet(8), vae=tiny_vae(), text_encoder=tiny_text_encoder(len(words)), tokenizer=words,
        scheduler=EulerAncestralDiscreteScheduler(**SCHEDULE), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(found.base)  # fmt: skip

    found.release.mkdir()
    trained = {
        "model.embed_tokens.weight": torch.randn(rows + 8, WIDTH),
        "lm_head.weight": torch.randn(rows + 8, WIDTH),
    }
    trained |= {f"edit_head.{name}": tensor for name, tensor in Mapper().state_dict().items()}
    torch.save(trained | {"emb": trained["model.embed_tokens.weight"][-8:].clone()}, found.release / "mllm.pt")
    unet = UNet2DConditionModel(**dict(tiny_unet(8).config))
    torch.save(unet.state_dict(), found.release / "unet.pt")
    return found


def demo(published: Published, images: Tensor, instruction: str, expressive: str) -> tuple[Tensor, Tensor]:
    """Condition and null condition as the release's own code computes them, on networks of transformers and torch."""
    tokenizer = with_visual_tokens(world_tokenizer(), 8)
    trained = torch.load(published.release / "mllm.pt")
    shards = [torch.load(path) for path in sorted(published.llava.glob("*.bin"))]
    llava = {name: tensor for shard in shards for name, tensor in shard.items()}
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        rms_norm_eps=1e-5, tie_word_embeddings=False,
    )  # fmt: skip
    llama = LlamaForCausalLM(text).eval()
    own = llama.state_dict()
    llama.load_state_dict({name: (trained if name in trained else llava)[name] for name in own})
    tower = CLIPVisionModel.from_pretrained(published.vision).eval()
    seen = tower(clip_pixels(images, 16), output_hidden_states=True).hidden_states[-2][:, 1:]
    seen = F.linear(seen, llava["model.mm_projector.weight"], llava["model.mm_projector.bias"])

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    word = tokenizer.get_vocab()
    visual = [word[f"[IMG{index}]"] for index in range(8)]
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    head = [*start, *ids(f"{SYSTEM} USER: what will this image be like if '{instruction}'"), word["<im_start>"]]
    tail = [word["<im_end>"], *ids("ASSISTANT:"), *ids(expressive), *visual, tokenizer.eos_token_id]
    before, after = (llama.model.embed_tokens(torch.tensor([part])) for part in (head, tail))
    states = llama.model(inputs_embeds=torch.cat([before, seen, after], dim=1)).last_hidden_state
    first = states.shape[1] - 1 - len(visual) - 1
    mapper = Mapper().eval()
    mapper.load_state_dict({n.removeprefix("edit_head."): t for n, t in trained.items() if n.startswith("edit_head.")})

    def mapped(hidden: Tensor) -> Tensor:
        return mapper.hid2feat(mapper.mapper(mapper.llm2hid(hidden + trained["emb"]), mapper.query))

    return mapped(states[:, first : first + 8]), mapped(torch.zeros(1, 8, WIDTH))


@torch.no_grad()
def test_a_converted_release_edits_as_the_demo_does(published: Published, tmp_path: Path):
    model, account = published.open()
    account.check()
    files = [*published.release.glob("*.pt"), *published.llava.glob("*.bin")]
    stored = sum(len(torch.load(path)) for path in files)
    towers = len(CLIPVisionModel.from_pretrained(published.vision).state_dict())
    # `emb` repeats embeddings, the projector's second layer is the identity
    assert sum(account.taken.values()) + sum(account.left_out.values()) == stored - 1 + towers + 2
    ours = load_pipeline(export(model, tmp_path))
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    instruction, expressive = "make it winter", "the house is covered in snow"
    embeddings, null = demo(published, images, instruction, expressive)
    condition = ours.as_module().conditioner.condition([instruction], images, [expressive])
    assert embeddings.std() > 0.05
    torch.testing.assert_close(condition.embeddings, embeddings, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(condition.null_embeddings, null, atol=1e-5, rtol=1e-5)

    pipeline: Any = StableDiffusionInstructPix2PixPipeline.from_pretrained(published.base, safety_checker=None)
    pipeline.unet.load_state_dict(torch.load(published.release / "unet.pt"))
    settings: dict[str, Any] = {"num_inference_steps": 3, "output_type": "pt"}
    expected = pipeline(
        image=(images + 1) / 2, prompt_embeds=embeddings, negative_prompt_embeds=null,
        generator=torch.Generator().manual_seed(13331), guidance_scale=7.5, image_guidance_scale=1.5, **settings,
    ).images  # fmt: skip
    module = ours.as_module()
    module.conditioner.write = lambda *_: [expressive]
    edited, _ = module.edit(
        images, [instruction], steps=3, guidance=module.sampler.guidance.with_scales(7.5, 1.5),
        generator=torch.Generator().manual_seed(13331),
    )  # fmt: skip
    torch.testing.assert_close((edited + 1) / 2, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("mllm.pt", lambda s: s | {"model.norm.weight2": torch.ones(2)}, "1 unexpected .mllm.pt: model.norm.weight2"),
        ("mllm.pt", lambda s: s | {"edit_head.extra": torch.ones(2)}, "1 unexpected .edit_head.extra"),
        (
            "mllm.pt",
            lambda s: {n: t for n, t in s.items() if n != "edit_head.hid2feat.bias"},
            "1 missing .edit_head.hid",
        ),
        ("unet.pt", lambda s: {n: t for n, t in s.items() if n != "conv_in.bias"}, "1 missing .unet.conv_in.bias"),
        ("unet.pt", lambda s: s | {"conv_in.weight": torch.ones(32, 4, 3, 3)}, r"1 reshaped .unet.conv_in.weight is"),
        ("unet.pt", lambda s: {f"unet.{n}": t for n, t in s.items()}, "missing .*unexpected"),
        ("mllm.pt", lambda s: s | {"emb": s["emb"] + 1}, "`emb` and the last 8 embeddings are up to 1 apart"),
        ("mllm.pt", lambda s: s | {"lm_head.weight": s["lm_head.weight"][1:]}, "1 reshaped .mllm.lm_head.weight"),
        (
            "mllm.pt",
            lambda s: s | {"model.embed_tokens.weight": s["model.embed_tokens.weight"][1:]},
            "embeddings, the tokenizer of",
        ),
        ("mllm.pt", lambda s: {"edit_head.x": torch.ones(1)}, "has no model.embed_tokens.weight"),
        ("mllm.pt", lambda s: {n: t for n, t in s.items() if "linear1" not in n}, "no whole edit head"),
    ],
)
def test_what_does_not_fit_is_named(
    file: str, change: Callable[[dict], dict], message: str, published: Published, tmp_path: Path
):
    with pytest.raises(WeightsError, match=message) as caught:
        published.altered(tmp_path, file, change).open()[1].check()
    assert "\n" not in str(caught.value)


def test_other_language_models_are_refused(published: Published, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": {}}))
    with pytest.raises(WeightsError, match="no LLaVA v1 in the layout of its authors"):
        published._replace(llava=tmp_path).open()


def words(published: Published, output: Path, *more: str) -> list[str]:
    names = {
        "checkpoint": published.release,
        "mllm": published.llava,
        "vision": published.vision,
        "base_model": published.base,
    }
    return [*(f"{key}={path}" for key, path in names.items()), f"output={output}", *more]


def test_the_job_writes_half_precision_and_a_dry_run_nothing(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "mgie"
    convert.run(compose("convert", words(published, output, "dry_run=true")))
    assert "left out: LLaVA's own embeddings" in capsys.readouterr().out
    assert not output.exists()
    convert.run(compose("convert", words(published, output, "dtype=float16")))
    assert capsys.readouterr().out.splitlines()[-1] == str(output)
    for path in output.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(path).values() if tensor.is_floating_point()} == {torch.float16}, (
            path
        )
    assert load_pipeline(output).as_module().conditioner.write(["make it winter"], torch.zeros(1, 3, 32, 32))
    with pytest.raises(WeightsError, match="mllm=FOLDER"):
        convert.run(compose("convert", [f"checkpoint={published.release}", f"output={tmp_path / 'x'}"]))
