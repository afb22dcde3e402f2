"""The page: what stands where, and which button does what."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from ip2p_lightning.diffusion.settings import LARGEST_SCALE
from ip2p_lightning.limits import SERVED_STEPS
from ip2p_lightning.serving.app import handlers as do
from ip2p_lightning.serving.app.examples import example_files
from ip2p_lightning.serving.app.following import follow
from ip2p_lightning.serving.app.parts import FileUpload, ImageUpload, MaskEditor
from ip2p_lightning.serving.app.session import Session, Studio
from ip2p_lightning.serving.server import CLOSING

TITLE = "ip2p_lightning"
_FONT = ("system-ui", "sans-serif")  # the visitor's own: nothing is fetched
_OLD = 3600  # seconds until a visitor's files and images are forgotten
_INSTRUCTIONS = ["make it winter", "make it night", "make it sepia", "turn it into a sketch", "make the castle blue"]
_ACTS = (
    (("less", "A bit less"), ("stronger", "Stronger"), ("another", "Another one")),
    (("undo", "Undo"), ("redo", "Redo"), ("good", "Good"), ("bad", "Bad")),
)


def page(studio: Studio, run: Path | None = None) -> gr.Blocks:
    """The page of a studio.

    Args:
        studio: what all visitors share.
        run: folder of a training run, which a tab of its own follows; None for none.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, _OLD)) as blocks:
        session = gr.State(Session(studio), time_to_live=_OLD)
        gr.Markdown(f"# {TITLE}\nEdit images by instruction. Editor: **{studio.name}**", elem_id="headline")
        with gr.Tabs() as tabs:
            with gr.Tab("Edit", id="edit"):
                upload, instruction = _edit(studio, session)
            with gr.Tab("Drawn scenes", id="scenes"):
                _scenes(tabs, upload, instruction)
            if studio.draws is not None:
                with gr.Tab("Text to image", id="image"):
                    _images(session, tabs, upload, instruction)
            if run is not None:
                with gr.Tab("Training", id="training"):
                    _training(run)
    blocks.queue(default_concurrency_limit=32, max_size=256, api_open=False)
    return blocks


def served(
    blocks: gr.Blocks,
    max_upload_mb: float = 50,
    app: FastAPI | None = None,
    allow: Callable[[str, str], bool] | None = None,
) -> FastAPI:
    """The page as an application, at the root of its own or under `/app` of another one.

    Args:
        blocks: the page.
        max_upload_mb: of a file.
        app: to mount it on, such as that of the service, whose queue the page then shares.
        allow: true for a name and a password that may enter; None for no login.
    """
    style = files("ip2p_lightning.serving.app").joinpath("page.css").read_text(encoding="utf-8")
    mounted = gr.mount_gradio_app(
        app or FastAPI(openapi_url=None),
        blocks,
        "/" if app is None else "/app",
        allowed_paths=[],
        max_file_size=int(max_upload_mb * 2**20),
        show_error=True,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,  # it would keep visitors' images in their browsers, and fetch addresses for them
        footer_links=[],
        theme=gr.themes.Default(font=_FONT, font_mono=("ui-monospace", "monospace"), primary_hue="indigo"),
        css=style,
        auth=allow,
        auth_message="Any name, and an API key of the service as the password.",
    )
    streams = mounted.routes[-1].app.stop_event  # type: ignore[attr-defined]  # each page holds one open
    setattr(mounted.state, CLOSING, [streams.set])
    return mounted


def _edit(studio: Studio, session: gr.State) -> tuple[gr.Image, gr.Textbox]:
    """The first tab; returns where an image and an instruction come in."""
    with gr.Row():
        with gr.Column(min_width=320):
            upload = ImageUpload(
                label="Image", sources=["upload", "clipboard"], image_mode=None, height=300, elem_id="upload"
            )
            gr.Examples(example_files(), upload, label="Example images", cache_examples=False)
            instruction = gr.Textbox(label="Instruction", placeholder="make it winter", max_length=1000, elem_id="say")
            gr.Examples(_INSTRUCTIONS, instruction, label="Example instructions", cache_examples=False)
            with gr.Row():
                edit = gr.Button("Edit", variant="primary", elem_id="go")
                cancel = gr.Button("Cancel", elem_id="cancel")
            status = gr.Markdown("Choose an image, and say what to change.", elem_id="status", container=True)
            with gr.Column(elem_id="more"):
                with gr.Accordion("Settings", open=False, elem_id="settings"):
                    settings = _settings(studio)
                with gr.Accordion("Only a region", open=False, elem_id="region"):
                    gr.Markdown("Paint what may change. All else stays exactly as it is.")
                    mask = MaskEditor(
                        label="Mask", sources=[], image_mode="RGBA", type="pil", layers=False, transforms=(),
                        brush=gr.Brush(24, ["#ffffff"], "#ffffff", color_mode="fixed"), buttons=[], elem_id="mask",
                    )  # fmt: skip
        with gr.Column(min_width=320, elem_id="answered"):
            shown = _results(studio)
    outputs = [*shown.values(), status]
    inputs = [session, upload, instruction, *settings, mask]
    gr.on([edit.click, instruction.submit], do.edit, inputs, outputs, concurrency_limit=None, show_progress="hidden")
    cancel.click(do.cancel, session, status, queue=False, show_progress="hidden")
    upload.change(do.look, [session, upload], [upload, mask, *outputs], show_progress="hidden")
    _acts(session, shown, status, outputs)
    return upload, instruction


def _settings(studio: Studio) -> list[Any]:
    defaults = studio.engine.editor.module.sampler.settings  # type: ignore[attr-defined]
    scale: dict[str, Any] = {"minimum": 0, "maximum": LARGEST_SCALE, "step": 0.1, "min_width": 120}
    with gr.Row():
        text_scale = gr.Number(defaults.text_scale, label="Text scale s_T", **scale)
        image_scale = gr.Number(defaults.image_scale, label="Image scale s_I", **scale)
        steps = gr.Number(
            defaults.steps, label="Steps", minimum=1, maximum=SERVED_STEPS.value, precision=0, min_width=120
        )
    with gr.Row():
        seed = gr.Number(0, label="Seed", minimum=0, maximum=2**53 - 1, precision=0, min_width=120, elem_id="seed")
        dice = gr.Button("Dice", min_width=80, elem_id="dice")
        count = gr.Slider(1, do.ALTERNATIVES, 1, step=1, label="Alternatives", min_width=160, elem_id="count")
    dice.click(do.dice, None, seed, queue=False)
    return [text_scale, image_scale, steps, seed, count]


def _results(studio: Studio) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    shown["slider"] = gr.ImageSlider(label="Before | after", format="png", interactive=False, buttons=["fullscreen"],
                                     elem_id="result")  # fmt: skip
    for row in _ACTS:
        with gr.Row():
            for name, label in row:
                shown[name] = gr.Button(label, size="sm", min_width=60, interactive=False, elem_id=name)
    with gr.Group(visible=studio.writes):
        shown["text"] = gr.Textbox(label="Expressive instruction: what the model wrote", lines=2, max_length=do.LONGEST,
                                   elem_id="written")  # fmt: skip
        shown["rewrite"] = gr.Button("Edit with my text", size="sm", interactive=False, elem_id="rewrite")
    shown["gallery"] = gr.Gallery(label="Alternatives: choose the best", columns=4, height=230, format="png",
                                  allow_preview=False, interactive=False, visible=False, elem_id="gallery")  # fmt: skip
    shown["history"] = gr.Radio([], label="History: go on from any image", elem_id="history")
    with gr.Row():
        shown["prepare"] = gr.Button("Download", size="sm", interactive=False, elem_id="download")
    shown["files"] = gr.File(
        label="Image, recipe, conversation", file_count="multiple", interactive=False, visible=False, elem_id="files"
    )
    with gr.Accordion("Open a saved conversation", open=False):
        shown["saved"] = FileUpload(label="conversation.zip", file_types=[".zip"], height=110, elem_id="saved")
    return shown


def _acts(session: gr.State, shown: dict[str, Any], status: gr.Markdown, outputs: list[Any]) -> None:
    for name in ("less", "stronger", "undo", "redo", "good", "bad"):
        shown[name].click(getattr(do, name), session, outputs, show_progress="hidden")
    shown["another"].click(do.another, session, outputs, concurrency_limit=None, show_progress="hidden")
    rewrite = [session, shown["text"]]
    shown["rewrite"].click(do.rewrite, rewrite, outputs, concurrency_limit=None, show_progress="hidden")
    shown["gallery"].select(do.choose, session, outputs, show_progress="hidden")
    shown["history"].input(do.go_to, [session, shown["history"]], outputs, show_progress="hidden")
    shown["prepare"].click(do.prepare, session, [shown["files"], status], show_progress="hidden")
    shown["saved"].upload(do.reopen, [session, shown["saved"]], outputs, show_progress="hidden")


def _scenes(tabs: gr.Tabs, upload: gr.Image, instruction: gr.Textbox) -> None:
    gr.Markdown("Words that the embedded world draws: things, colours, places, hour, season and weather.")
    words = gr.Textbox("a red castle by the sea on a clear summer day", label="Scene", max_length=300, elem_id="words")
    with gr.Row():
        draw = gr.Button("Draw", variant="primary", elem_id="draw")
        use = gr.Button("Edit this scene", interactive=False, elem_id="use")
    problem = gr.Markdown(elem_id="scene-status")
    scene = gr.Image(label="Scene", type="filepath", format="png", interactive=False, height=420, buttons=["download"],
                     elem_id="scene")  # fmt: skip
    gr.on([draw.click, words.submit], do.draw, words, [scene, use, problem], show_progress="hidden")
    use.click(do.use, scene, [upload, instruction, tabs], show_progress="hidden")


def _images(session: gr.State, tabs: gr.Tabs, upload: gr.Image, instruction: gr.Textbox) -> None:
    prompt = gr.Textbox("a red castle by the sea on a clear summer day", label="Prompt", max_length=1000,
                        elem_id="prompt")  # fmt: skip
    with gr.Row():
        seed = gr.Number(
            0, label="Seed", minimum=0, maximum=2**53 - 1, precision=0, min_width=120, elem_id="image-seed"
        )
        dice = gr.Button("Dice", min_width=80)
    with gr.Row():
        make = gr.Button("Make the image", variant="primary", elem_id="make")
        cancel = gr.Button("Cancel", elem_id="image-cancel")
        use = gr.Button("Edit this image", interactive=False, elem_id="image-use")
    status = gr.Markdown("Say what the image shows.", elem_id="image-status", container=True)
    image = gr.Image(label="Image", type="filepath", format="png", interactive=False, height=420, buttons=["download"],
                     elem_id="image")  # fmt: skip
    gr.on([make.click, prompt.submit], do.imagine, [session, prompt, seed], [image, use, status],
          concurrency_limit=None, show_progress="hidden")  # fmt: skip
    dice.click(do.dice, None, seed, queue=False)
    cancel.click(do.cancel, session, status, queue=False, show_progress="hidden")
    use.click(do.use, image, [upload, instruction, tabs], show_progress="hidden")


def _training(run: Path) -> None:
    def look() -> tuple[Any, ...]:
        import pandas

        now = follow(run)
        losses, measures = (
            pandas.DataFrame(rows, columns=["step", "metric", "value"]) for rows in (now.losses, now.measures)
        )
        return now.images, losses, gr.LinePlot(measures, visible=bool(now.measures)), now.status

    status = gr.Markdown(elem_id="run")
    with gr.Row():
        plot: dict[str, Any] = {"x": "step", "y": "value", "color": "metric", "height": 320, "min_width": 320}
        losses = gr.LinePlot(title="Losses", elem_id="losses", **plot)
        measures = gr.LinePlot(title="Validation", elem_id="measures", visible=False, **plot)
    images = gr.Gallery(label="Validation images, newest first", columns=3, format="png", interactive=False, height=620,
                        object_fit="contain", elem_id="validation")  # fmt: skip
    outputs = [images, losses, measures, status]
    gr.Timer(5).tick(look, None, outputs, show_progress="hidden")
    gr.on(None, look, None, outputs, show_progress="hidden")
