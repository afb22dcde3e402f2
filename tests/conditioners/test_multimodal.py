"""What MGIE adds: the picture. Preprocessing as CLIP's, and that the picture reaches the embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from ip2p_lightning.conditioners.multimodal import MultimodalConditioner, clip_pixels
from ip2p_lightning.models.edit_head import EditHead
from ip2p_lightning.models.mllm import build_llava
from ip2p_lightning.models.visual_tokens import with_visual_tokens


@pytest.mark.parametrize("size", [(40, 40), (33, 60), (60, 33), (24, 24), (12, 17)])
def test_pixels_equal_clip_s_image_processor(size):
    coarse = torch.rand(3, 6, 6)
    picture = torch.nn.functional.interpolate(coarse[None], size=size, mode="bilinear")[0]
    array = (picture * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    processor = CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    expected = processor(Image.fromarray(array), return_tensors="pt").pixel_values
    ours = clip_pixels(torch.from_numpy(np.array(array)).movedim(-1, 0)[None].float() / 127.5 - 1, 24)
    assert ours.shape == (1, 3, 24, 24)
    assert (ours - expected).abs().mean() < 0.01  # theirs rounds to bytes after resizing


@torch.no_grad()
def test_the_picture_reaches_the_embeddings(tokenizer, make_batch):
    visual = with_visual_tokens(tokenizer, 4)
    model = build_llava(visual, 32, 2, 2, 16, 2, 2, image_size=16, patch_size=8)
    head = EditHead(32, 32, 24, queries=6, layers=1, heads=2, feedforward_dim=64)
    conditioner = MultimodalConditioner(model, visual, head, template="{picture}{instruction}").eval()
    batch = make_batch(["make it winter"] * 2, ["snow"] * 2, size=24)
    first, second = conditioner(batch).embeddings
    assert (first - second).abs().max() > 1e-4
    batch.original_image[1] = batch.original_image[0]
    first, second = conditioner(batch).embeddings
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)
