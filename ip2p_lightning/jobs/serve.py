"""`ip2p serve`: OpenAI's images API in front of one or several models, and the page for people on the same queue."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

import torch
from fastapi import FastAPI
from omegaconf import DictConfig, OmegaConf

from ip2p_lightning.editors.opening import load_editor
from ip2p_lightning.jobs.drawing import open_drawing
from ip2p_lightning.jobs.models import OURS, models_of
from ip2p_lightning.serving.api import create_app
from ip2p_lightning.serving.engines import EditEngine
from ip2p_lightning.serving.keys import Keys
from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.queue import WorkQueue
from ip2p_lightning.serving.server import address, allowed_hosts, bind, check_exposure
from ip2p_lightning.serving.server import run as run_server


def run(config: DictConfig) -> None:
    """Open the models and serve them until the process is asked to stop.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: an address that is taken, or that is open to others without keys.
    """
    keys = Keys.read(config.key_file)
    check_exposure(config.host, keys, config.open)
    with bind(config.host, config.port) as taken:
        if config.backend == "process":
            app = make_app(config, keys, taken.getsockname()[1])
            page = f", the page at {address(taken)}/app" if config.app else ""
            print(f"serving {app.title} at {address(taken)}/v1{page}; end with Ctrl-C", flush=True)
            run_server(app, taken, config.grace)
            print("stopped; everything that was in work is done", flush=True)
            return
        url, port = address(taken), taken.getsockname()[1]
    if config.app:
        raise ValueError("app=true shares one process and one queue with the service; use backend=process")
    _on_ray(config, keys, url, port)


def make_app(config: DictConfig, keys: Keys, port: int = 0) -> FastAPI:
    """The service that a configuration describes, named after its models.

    Args:
        config: of `ip2p serve`.
        keys: of clients; visitors of the page give one as their password.
        port: names the folder of the page's files.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    logging.getLogger("ip2p_lightning").setLevel(logging.INFO if config.log else logging.WARNING)
    models = open_models(config)
    queue = WorkQueue(config.capacity, gather=config.gather)
    app = create_app(models, queue, keys, allowed_hosts(config.host, keys), config.timeout, config.grace)
    app.title = ", ".join(models.names)
    if config.app:
        _mount_page(app, config, keys, models, queue, port)
    return app


def _mount_page(app: FastAPI, config: DictConfig, keys: Keys, models: Models, queue: WorkQueue, port: int) -> None:
    """Put the page for people under `/app`: the first model that edits, the first that draws, the same queue."""
    from ip2p_lightning.jobs.app import quiet

    quiet(port)
    from ip2p_lightning.serving.app.page import page, served  # the extra `app`
    from ip2p_lightning.serving.app.session import Studio

    name, engine = next(iter(models.edits.items()))
    draws = next(iter(models.draws.values()), None)
    studio = Studio(engine, queue, name, draws=draws, timeout=config.timeout)
    served(page(studio), app=app, allow=keys.allow_password if keys else None)


def _on_ray(config: DictConfig, keys: Keys, url: str, port: int) -> None:
    from ip2p_lightning.serving.ray_service import deploy, stop  # the extra `ray`

    values = OmegaConf.to_container(config, resolve=True)

    def make() -> FastAPI:
        return make_app(OmegaConf.create(values), keys)  # type: ignore[arg-type]

    stopped = threading.Event()
    try:
        deploy(make, config.host, port, config.replicas, 4 * config.capacity, config.grace, config.gpus)
        for one in (signal.SIGINT, signal.SIGTERM):  # after Ray, which sets a handler of its own
            signal.signal(one, lambda *_: stopped.set())
        print(f"serving {config.checkpoint} at {url}/v1 by {config.replicas} on Ray; end with Ctrl-C", flush=True)
        stopped.wait()
    finally:
        stop()
    print("stopped; everything that was in work is done", flush=True)


def open_models(config: DictConfig) -> Models:
    """The models that a configuration names."""
    edits = {}
    for name, checkpoint in models_of(config.checkpoint).items():
        editor = load_editor(
            checkpoint,
            config.device,
            config.weights,
            config.batch_size,
            config.resolution,
            trust=config.trust,
            precision=config.precision,
        )
        edits[Path(checkpoint).stem if name == OURS else name] = EditEngine(editor)
    return Models(edits, open_drawing(config))
