"""OpenAI's images API in front of a queue, so that its clients, and programs written for them, work unchanged."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from ip2p_lightning import __version__
from ip2p_lightning.diffusion.settings import SamplingSettings
from ip2p_lightning.editors.request import EditRequest, EditResult
from ip2p_lightning.serving.answers import Finished, Shape
from ip2p_lightning.serving.drawing import DrawRequest, DrawResult
from ip2p_lightning.serving.engines import EditEngine, Engine
from ip2p_lightning.serving.errors import QueueFull
from ip2p_lightning.serving.fields import DrawFields, EditFields, Fields
from ip2p_lightning.serving.forms import EditForm, read_draw, read_edit
from ip2p_lightning.serving.guard import Guard
from ip2p_lightning.serving.keys import Keys
from ip2p_lightning.serving.meters import Meters
from ip2p_lightning.serving.models import Models
from ip2p_lightning.serving.problems import Problem, problem_of
from ip2p_lightning.serving.queue import WorkQueue
from ip2p_lightning.serving.work import Desk, Gone, Partials, while_connected

_UPLOAD_SECONDS = 60.0
_LARGEST_SEED = 2**32


def create_app(
    models: Models,
    queue: WorkQueue,
    keys: Keys | None = None,
    hosts: Collection[str] = (),
    timeout: float = 120.0,
    grace: float = 30.0,
) -> FastAPI:
    """The service.

    Args:
        models: what edits and draws.
        queue: whose worker does it; a page for people may share it. It is closed when the service ends.
        keys: of clients; None for no keys.
        hosts: see `Guard`.
        timeout: seconds that a request may take, waiting included.
        grace: seconds in which the end waits for what is in work.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(queue.close, grace)

    app = FastAPI(title="ip2p_lightning", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    meters = Meters(queue, models)
    app.add_middleware(Guard, keys=keys or Keys([]), hosts=hosts, meters=meters)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Gone, lambda request, error: Response(status_code=499))
    service = _Service(models, queue, Desk(queue, timeout))
    multipart = {"multipart/form-data": {"schema": EditFields.model_json_schema()}}
    app.post("/v1/images/edits", openapi_extra={"requestBody": {"content": multipart}})(service.edit)
    json = {"application/json": {"schema": DrawFields.model_json_schema()}}
    app.post("/v1/images/generations", openapi_extra={"requestBody": {"content": json}})(service.draw)
    app.get("/v1/models")(service.list_models)
    app.get("/v1/models/{name:path}")(service.show_model)
    app.get("/healthz")(service.health)
    app.get("/metrics")(lambda: PlainTextResponse(meters.page(), media_type="text/plain; version=0.0.4"))
    return app


class _Service:
    def __init__(self, models: Models, queue: WorkQueue, desk: Desk) -> None:
        self.models, self.queue, self.desk = models, queue, desk
        self._inside = 0

    async def edit(self, request: Request) -> Response:
        """Edit images by an instruction."""
        with self._entered():
            form = await _read(read_edit(request))
            engine: EditEngine = self._model(self.models.editing, form.fields.model, self.models.edits)
            if form.fields.expressive_instruction and not engine.editor.writes:
                text = "This model writes no expressive instruction and takes none; say it in the prompt."
                raise Problem(422, text, "expressive_instruction", "not_supported")
            seeds = _seeds(form.fields)

            def requests() -> list[EditRequest]:
                return _edit_requests(form, seeds)

            def finished(result: EditResult) -> Finished:
                return Finished(result.image, result.expressive_instruction, result.request.seed)  # type: ignore[arg-type]

            count = len(form.images) * len(seeds)
            return await self._answer(request, "image_edit", form.fields, engine, requests, count, finished)

    async def draw(self, request: Request) -> Response:
        """Make images from words."""
        with self._entered():
            fields = await _read(read_draw(request))
            engine = self._model(self.models.drawing, fields.model, self.models.draws)
            seeds = _seeds(fields)
            sampling = SamplingSettings(steps=fields.num_inference_steps, text_scale=fields.guidance_scale)

            def requests() -> list[DrawRequest]:
                return [DrawRequest(fields.prompt, seed, fields.size, sampling) for seed in seeds]

            def finished(result: DrawResult) -> Finished:
                return Finished(result.image, "", result.request.seed)

            return await self._answer(request, "image_generation", fields, engine, requests, len(seeds), finished)

    def list_models(self) -> dict[str, Any]:
        """The models that there are."""
        return {"object": "list", "data": [self._described(name) for name in self.models.names]}

    def show_model(self, name: str) -> dict[str, Any]:
        """One model."""
        if name not in self.models.names:
            raise _no_model(name, self.models.names)
        return self._described(name)

    def health(self) -> Response:
        """True if requests are taken, and how many are held."""
        state = {"status": "ok" if self.queue.alive else "stopping", "held": self.queue.held}
        return JSONResponse(state, 200 if self.queue.alive else 503)

    async def _answer(
        self,
        request: Request,
        kind: str,
        fields: Fields,
        engine: Engine,
        requests: Callable[[], Sequence[Any]],
        count: int,
        finished: Callable[[Any], Finished],
    ) -> Response:
        shape = Shape(fields)
        try:
            if count > self.queue.capacity:
                raise Problem(
                    400, f"{count} images are more than the queue holds; ask for fewer.", "n", "invalid_value"
                )
            self.queue.check_room(count)
            if fields.stream:
                partials = Partials(fields.partial_images or 0)
                callbacks = [partials.of(place) for place in range(count)]
                pending = await while_connected(request, self.desk.submit(engine, requests, callbacks))
                events = self.desk.events(kind, shape, pending, partials, finished)
                headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
                return StreamingResponse(events, media_type="text/event-stream", headers=headers)

            async def work() -> dict[str, Any]:
                results = await self.desk.results(await self.desk.submit(engine, requests))
                return await asyncio.to_thread(shape.response, [finished(result) for result in results])

            return JSONResponse(await while_connected(request, work()))
        except (Problem, Gone):
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                raise  # to be logged
            raise problem from error

    def _model(self, choose: Callable[[str | None], Any], name: str | None, models: Collection[str]) -> Any:
        try:
            return choose(name)
        except KeyError:
            raise _no_model(name, models) from None

    def _described(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.models.created, "owned_by": "ip2p_lightning"}

    def _entered(self) -> _Inside:
        return _Inside(self)


class _Inside:
    """Counts requests whose bodies are being read or whose results are made, and refuses the very many."""

    def __init__(self, service: _Service) -> None:
        self.service = service

    def __enter__(self) -> None:
        if self.service._inside >= 4 * self.service.queue.capacity:
            raise problem_of(QueueFull(5))
        self.service._inside += 1

    def __exit__(self, *_: object) -> None:
        self.service._inside -= 1


async def _read(body: Any) -> Any:
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            return await body
    except TimeoutError as error:
        raise Problem(408, f"The body was not whole after {_UPLOAD_SECONDS:g} s.", code="timeout") from error


def _edit_requests(form: EditForm, seeds: Sequence[int]) -> list[EditRequest]:
    fields = form.fields
    sampling = SamplingSettings(fields.num_inference_steps, fields.guidance_scale, fields.image_guidance_scale)
    mask = None if form.mask is None else form.mask.open()
    requests = []
    for number, upload in enumerate(form.images):
        image = upload.open()
        for seed in seeds:
            try:
                requests.append(
                    EditRequest(
                        image,
                        fields.prompt,
                        seed,
                        sampling,
                        expressive_instruction=fields.expressive_instruction,
                        mask=None if number else mask,
                    )
                )
            except ValueError as error:
                raise Problem(400, f"{error}.", "mask" if "mask" in str(error) else None, "invalid_value") from error
    return requests


def _seeds(fields: Fields) -> list[int]:
    first = secrets.randbelow(_LARGEST_SEED) if fields.seed is None else fields.seed
    return [first + number for number in range(fields.n or 1)]


def _no_model(name: str | None, models: Collection[str]) -> Problem:
    there = f"There is {', '.join(models)}" if models else "The service has no model for this; `/v1/models` lists them"
    what = "No model" if not name else f"The model '{name[:100]}'"
    return Problem(404, f"{what} does not do this here. {there}.", "model", "model_not_found")


async def _problem(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    return JSONResponse(problem.body, problem.status, problem.headers)


async def _http_problem(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    text = {404: "There is nothing at this address.", 405: "This address does not take this method."}
    problem = Problem(status, text.get(status, "The request cannot be answered."), code=f"http_{status}")
    return JSONResponse(problem.body, status, {**problem.headers, **(getattr(error, "headers", None) or {})})
