"""The node, and its request to the service: OpenAI's images API over ComfyUI's own libraries alone."""

from __future__ import annotations

import base64
import io as files
import json
import os
import urllib.error
import urllib.request
import uuid
from typing import Any

import numpy as np
import torch
from comfy_api.latest import ComfyExtension, io
from PIL import Image

KEY = "IP2P_API_KEY"


class EditByInstruction(io.ComfyNode):
    """Edits images by an instruction."""

    @classmethod
    def define_schema(cls) -> Any:
        """See ComfyUI."""
        return io.Schema(
            node_id="Ip2pEditByInstruction",
            display_name="Edit by instruction (ip2p)",
            category="image/ip2p",
            description="Edits images with a running `ip2p serve`.",
            inputs=[
                io.Image.Input("image"),
                io.String.Input("instruction", multiline=True, default="make it winter"),
                io.Int.Input("seed", default=0, min=0, max=2**53 - 1, control_after_generate=True),
                io.Float.Input("text_scale", default=0.0, min=0.0, max=100.0, step=0.1, tooltip="0: the model's own"),
                io.Float.Input("image_scale", default=0.0, min=0.0, max=100.0, step=0.05, tooltip="0: the model's own"),
                io.Int.Input("steps", default=0, min=0, max=200, tooltip="0: the model's own"),
                io.String.Input("address", default="http://127.0.0.1:8000/v1"),
                io.Mask.Input("mask", optional=True, tooltip="white may change"),
            ],
            outputs=[io.Image.Output("images"), io.String.Output("expressive_instructions")],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        instruction: str,
        seed: int,
        text_scale: float,
        image_scale: float,
        steps: int,
        address: str,
        mask: torch.Tensor | None = None,
    ) -> Any:
        """Edit [B, H, W, 3] in [0, 1]; the mask is [B or 1, H, W] in [0, 1]."""
        images, texts = [], []
        for number, one in enumerate(image):
            fields = {"prompt": instruction, "seed": str(seed + number)}
            scales = {"guidance_scale": text_scale, "image_guidance_scale": image_scale, "num_inference_steps": steps}
            fields |= {name: str(value) for name, value in scales.items() if value}
            parts = {"image": _png(one)}
            if mask is not None:
                parts["mask"] = _mask_png(mask[min(number, len(mask) - 1)])
            result = ask(address, fields, parts)["data"][0]
            with Image.open(files.BytesIO(base64.b64decode(result["b64_json"]))) as edited:
                images.append(torch.from_numpy(np.asarray(edited.convert("RGB"), np.float32) / 255))
            texts.append(result.get("revised_prompt") or "")
        return io.NodeOutput(torch.stack(images), "\n".join(texts))


class Extension(ComfyExtension):
    """What the folder brings."""

    async def get_node_list(self) -> list[type]:
        """See ComfyUI."""
        return [EditByInstruction]


async def comfy_entrypoint() -> Extension:
    """See ComfyUI."""
    return Extension()


def ask(address: str, fields: dict[str, str], parts: dict[str, bytes]) -> dict[str, Any]:
    """The answer of `/images/edits`.

    Raises:
        RuntimeError: the service's own sentence, or that there is none.
    """
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in fields.items():
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, data in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.png"\r\n'
        body += head.encode() + b"Content-Type: image/png\r\n\r\n" + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if key := os.environ.get(KEY, ""):
        headers["Authorization"] = f"Bearer {key}"
    if not address.startswith(("http://", "https://")):
        raise RuntimeError(f"{address!r} is no address of a service, such as http://127.0.0.1:8000/v1")
    request = urllib.request.Request(f"{address.rstrip('/')}/images/edits", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(_sentence(error)) from None
    except urllib.error.URLError as error:
        raise RuntimeError(f"no service at {address} ({error.reason}); start one: ip2p serve checkpoint=mgie") from None


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the service answers {error.code}"


def _png(image: torch.Tensor) -> bytes:
    """[H, W, 3] in [0, 1] as a PNG."""
    return _encoded(Image.fromarray((image.clamp(0, 1) * 255).round().byte().cpu().numpy()))


def _mask_png(mask: torch.Tensor) -> bytes:
    """[H, W] in [0, 1] as a PNG that is transparent where the mask is white, as OpenAI's API has masks."""
    alpha = ((1 - mask.clamp(0, 1)) * 255).round().byte().cpu().numpy()
    layer = Image.new("RGBA", alpha.shape[::-1])
    layer.putalpha(Image.fromarray(alpha))
    return _encoded(layer)


def _encoded(image: Image.Image) -> bytes:
    file = files.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
