"""`ip2p app`: edit in the browser, in turns, with masks, alternatives and feedback; follow a training."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ip2p_lightning.files import FolderHeld, alone

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ip2p_lightning.serving.queue import WorkQueue


def run(config: DictConfig) -> None:
    """Open the editor and serve the page until it is stopped.

    Raises:
        FileNotFoundError: no such checkpoint or run.
        ValueError: a port that is taken.
    """
    from ip2p_lightning.serving.server import address, bind
    from ip2p_lightning.serving.server import run as run_server

    with bind(config.host, config.port) as taken:
        files = quiet(config.port)
        with _preferences(config.preferences):
            app, queue = _app(config)
            print(f"{address(taken)}  {config.checkpoint}; Ctrl-C stops it", flush=True)
            try:
                run_server(app, taken, 0)
            finally:
                queue.close(timeout=10)
                _empty(files)


def _app(config: DictConfig) -> tuple[FastAPI, WorkQueue]:
    """The page, and the queue behind it."""
    from ip2p_lightning.editors.opening import load_editor
    from ip2p_lightning.jobs.drawing import open_drawing
    from ip2p_lightning.serving.app.page import page, served
    from ip2p_lightning.serving.app.session import Studio
    from ip2p_lightning.serving.engines import EditEngine
    from ip2p_lightning.serving.queue import WorkQueue

    editor = load_editor(
        config.checkpoint, config.device, config.weights, config.batch_size, config.resolution, trust=config.trust,
        precision=config.precision,
    )  # fmt: skip
    draws = next(iter(open_drawing(config).values()), None)
    queue = WorkQueue(capacity=config.queue)
    studio = Studio(
        EditEngine(editor),
        queue,
        str(config.checkpoint),
        draws=draws,
        folder=None if config.preferences is None else Path(config.preferences),
        max_pixels=int(config.max_megapixels * 1e6),
        held_pixels=int(config.held_megapixels * 1e6),
        timeout=config.timeout,
    )
    return served(page(studio, None if config.run is None else Path(config.run)), config.max_upload_mb), queue


@contextmanager
def _preferences(folder: str | None) -> Iterator[None]:
    """Remove what a killed app left among the preferences, unless another one is writing there, which may go on."""
    if folder is None:
        yield
        return
    with ExitStack() as held:
        with suppress(FolderHeld):
            held.enter_context(alone(Path(folder) / "images"))
        yield


def quiet(port: int) -> Path:
    """Switch off Gradio's reports, and keep its files in a folder of this user alone; before it is imported.

    The folder's name stays, so that a page which outlived its server is understood; what it holds goes.

    Returns:
        The folder.

    Raises:
        ValueError: another user has made it, or a link in its place.
    """
    folder = Path(tempfile.gettempdir()) / f"ip2p-app-{os.getuid() if hasattr(os, 'getuid') else 0}-{port}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        raise ValueError(f"{folder} is not a folder of yours; remove it, or choose another port or TMPDIR")
    folder.chmod(0o700)
    _empty(folder)  # of the images of an app that was killed at this port
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def _empty(folder: Path) -> None:
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
