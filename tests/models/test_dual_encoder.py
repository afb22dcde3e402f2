"""The dual encoder is open_clip's: same embeddings, folders that open_clip opens, a direction that means something."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.data.sources.world import WorldSource
from ip2p_lightning.models.dual_encoder import DualEncoder, directional_similarity
from ip2p_lightning.world.tokenizer import world_tokenizer

pytestmark = pytest.mark.numeric

TEXTS = ["a red castle by the sea", "a blue bus"]


def tiny() -> DualEncoder:
    return DualEncoder(
        world_tokenizer(), embed_dim=8, image_size=16, patch_size=8, width=16, layers=1, head_width=8,
        text_width=16, text_layers=1, text_heads=2, context_length=24,
    ).eval()  # fmt: skip


def test_embeddings_are_unit_vectors_that_padding_does_not_change():
    encoder = tiny()
    torch.testing.assert_close(encoder.embed_images(torch.rand(3, 3, 40, 40)).norm(dim=1), torch.ones(3))
    alone, among = encoder.embed_texts(TEXTS[:1]), encoder.embed_texts(TEXTS)
    torch.testing.assert_close(alone[0], among[0])
    assert not torch.allclose(among[0], among[1])


def test_texts_beyond_the_length_keep_their_end():
    encoder = tiny()
    (vector,) = encoder.embed_texts(["red " * 100])
    assert torch.equal(vector, encoder.embed_texts(["red " * 22])[0])  # start, 22 words, end


def test_the_shipped_size_fits_its_share_of_the_package():
    assert 2 * sum(p.numel() for p in DualEncoder(world_tokenizer()).parameters()) < 6_000_000


def test_the_end_token_must_have_the_largest_id():
    tokenizer = world_tokenizer()
    tokenizer.add_tokens(["<later>"])
    with pytest.raises(ValueError, match="the end token is 1072 of 1074"):
        DualEncoder(tokenizer)


def test_open_clip_opens_a_saved_folder(tmp_path):
    encoder = tiny()
    name = f"local-dir:{encoder.save(tmp_path, torch.float32)}"
    clip, _, preprocess = open_clip.create_model_and_transforms(name)
    image = WorldSource(1, size=16)[0].original_image
    assert isinstance(image, Image.Image)
    with torch.no_grad():
        picture = clip.eval().encode_image(preprocess(image)[None], normalize=True)
        text = clip.encode_text(open_clip.get_tokenizer(name)(TEXTS), normalize=True)
        torch.testing.assert_close(picture, encoder.embed_images(to_tensor(image)[None]))
        torch.testing.assert_close(text, encoder.embed_texts(TEXTS))


def test_half_precision_folders_load_in_full(tmp_path):
    encoder = tiny()
    again = DualEncoder.load(encoder.save(tmp_path))
    assert next(again.parameters()).dtype == torch.float32
    assert again.model_config == encoder.model_config
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(again.embed_images(images), encoder.embed_images(images), atol=1e-2, rtol=1e-2)
    assert json.loads((tmp_path / "open_clip_config.json").read_text())["preprocess_cfg"]["resize_mode"] == "squash"


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no open_clip_config\.json"):
        DualEncoder.load(tmp_path)


def test_direction():
    a, b, c = F.normalize(torch.eye(3), dim=1)[:, None]
    assert directional_similarity(a, b, a, b) == pytest.approx(1)
    assert directional_similarity(a, b, b, a) == pytest.approx(-1)
    assert directional_similarity(a, a, b, c) == 0
    assert directional_similarity(a, b, a, c).item() == pytest.approx(0.5)
