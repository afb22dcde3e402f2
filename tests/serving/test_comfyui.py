"""The ComfyUI node against a running service; ComfyUI's own classes are stood in for by records of their arguments."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from ip2p_lightning.data.images import to_tensor
from ip2p_lightning.editors.trained import TrainedEditor
from tests.serving.conftest import Running, picture

FOLDER = Path(__file__).resolve().parents[2] / "integrations" / "comfyui"
PICTURE_SIZE = (24, 16)


def record(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**values)


@pytest.fixture(scope="module")
def node() -> Any:
    """The node's class, with the names of ComfyUI's V3 API that it uses."""

    def kind(name: str) -> SimpleNamespace:
        return SimpleNamespace(
            Input=lambda id, **options: record(kind=name, id=id, **options), Output=lambda id: record(kind=name, id=id)
        )

    io = SimpleNamespace(
        ComfyNode=object, Schema=lambda **values: record(**values), NodeOutput=lambda *values: values,
        **{name: kind(name) for name in ("Image", "String", "Int", "Float", "Mask")},
    )  # fmt: skip
    latest = ModuleType("comfy_api.latest")
    latest.io, latest.ComfyExtension = io, object  # type: ignore[attr-defined]
    patch = pytest.MonkeyPatch()
    patch.setitem(sys.modules, "comfy_api", ModuleType("comfy_api"))
    patch.setitem(sys.modules, "comfy_api.latest", latest)
    spec = importlib.util.spec_from_file_location("ip2p_comfyui", FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, "ip2p_comfyui", module)
    spec.loader.exec_module(module)
    extension = asyncio.run(module.comfy_entrypoint())
    (found,) = asyncio.run(extension.get_node_list())
    yield found
    patch.undo()


def batch(*images: Image.Image) -> torch.Tensor:
    """As ComfyUI has images: [B, H, W, 3] in [0, 1]."""
    return torch.stack([(to_tensor(image).permute(1, 2, 0) + 1) / 2 for image in images])


def defaults(node: Any) -> dict[str, Any]:
    return {each.id: each.default for each in node.define_schema().inputs if hasattr(each, "default")}


def test_the_schema_names_what_is_executed(node: Any) -> None:
    schema = node.define_schema()
    arguments = list(inspect.signature(node.execute).parameters)
    assert [each.id for each in schema.inputs] == arguments
    assert [each.kind for each in schema.outputs] == ["Image", "String"]
    assert schema.node_id == "Ip2pEditByInstruction"
    for each in schema.inputs:
        if each.kind in ("Int", "Float"):
            assert each.min <= each.default <= each.max


def test_images_are_edited_by_the_service(node: Any, service: Running, editor: TrainedEditor) -> None:
    first, second = picture(PICTURE_SIZE), picture(PICTURE_SIZE, seed=1)
    given = {**defaults(node), "instruction": "a", "seed": 5, "address": f"{service.url}/v1", "steps": 2}
    images, texts = node.execute(batch(first, second), **given)
    assert images.shape == (2, 16, 24, 3)
    assert texts == "\n"
    own = editor.edit([first, second], "a", seed=[5, 6], steps=2).images
    assert (images - batch(*own)).abs().max() <= 1.01 / 255
    mask = torch.zeros(1, 16, 24)
    mask[:, :, :12] = 1
    masked, _ = node.execute(batch(first), **given, mask=mask)
    assert torch.allclose(masked[0, :, 12:], batch(first)[0, :, 12:], atol=1e-6)
    assert not torch.allclose(masked[0, :, :12], batch(first)[0, :, :12], atol=1e-3)


def test_errors_are_the_services_own_sentences(node: Any, service: Running) -> None:
    given = {**defaults(node), "address": f"{service.url}/v1"}
    with pytest.raises(RuntimeError, match="is empty; say what to do"):
        node.execute(batch(picture()), **{**given, "instruction": " "})
    with pytest.raises(RuntimeError, match="start one: ip2p serve"):
        node.execute(batch(picture()), **{**given, "address": "http://127.0.0.1:9/v1"})
    with pytest.raises(RuntimeError, match="is no address"):
        node.execute(batch(picture()), **{**given, "address": "file:///etc/passwd"})
