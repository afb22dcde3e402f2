"""The study's server: join, see the next item, answer it. A reply names no system, and no two differ by one."""

from __future__ import annotations

import logging
import secrets
import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Cookie, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ip2p_lightning.serving.study.bounds import Bounds
from ip2p_lightning.serving.study.folder import ANSWERS, IMAGES, Study
from ip2p_lightning.serving.study.store import AnswerError, AnswerStore, Rater, StoredAnswer, StudyFull
from ip2p_lightning.untrusted import printable

log = logging.getLogger(__name__)

COOKIE = "rater"
_YEAR = 365 * 86400
Side = Literal["left", "right", "same"]
Token = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]


class Join(BaseModel):
    """First request of a rater."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field("", max_length=80)


class GivenAnswer(BaseModel):
    """A rater's answer to an item."""

    model_config = ConfigDict(extra="forbid", strict=True)
    item: Token
    follows: Side
    looks: Side
    milliseconds: int = Field(0, ge=0, le=86_400_000)


def make_app(folder: str | Path, *, title: str = "Image study", most_raters: int = 1000) -> FastAPI:
    """The server of a study's folder.

    Args:
        folder: as `make_study` wrote it; answers are added to its SQLite file.
        title: shown to raters.
        most_raters: that may join.

    Raises:
        FileNotFoundError: no study there.
        ValueError: a damaged study, or answers that are none of it.
    """
    folder = Path(folder)
    study = Study.open(folder)
    store = AnswerStore(folder / ANSWERS, most_raters)
    store.check(len(study.items))
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.store = store
    app.add_middleware(Bounds)
    _add_page(app)
    _add_images(app, folder, study, store)
    _add_answers(app, study, store)

    @app.exception_handler(RequestValidationError)
    def refused(request: Request, error: Exception) -> JSONResponse:
        """FastAPI would send back what it did not understand."""
        return JSONResponse({"detail": "this is not what the study's page sends"}, 422)

    @app.exception_handler(AnswerError)
    def not_stored(request: Request, error: Exception) -> JSONResponse:
        """The page sends it again until it is stored; who serves it sees why."""
        log.error("%s", error)
        return JSONResponse({"detail": "this cannot be stored now"}, 503)

    return app


_NOT_KEPT = {"cache-control": "no-store"}


def _known(store: AnswerStore, token: str | None) -> Rater:
    rater = store.rater(token) if token and len(token) == 32 else None
    if rater is None:
        raise HTTPException(401, "unknown rater; join first")
    return rater


def _add_images(app: FastAPI, folder: Path, study: Study, store: AnswerStore) -> None:
    """The images of the study's items, for raters alone."""
    images = {name: folder / IMAGES / name for item in study.items for name in (*item.images, item.original) if name}

    @app.get("/images/{name}")
    def image(name: str, rater: Annotated[str | None, Cookie()] = None) -> Response:
        _known(store, rater)
        if name not in images:
            raise HTTPException(404, "no such image")
        return Response(images[name].read_bytes(), media_type="image/png", headers=_NOT_KEPT)


def _add_answers(app: FastAPI, study: Study, store: AnswerStore) -> None:
    """Joining, the next item, and an answer to it."""

    @app.post("/join")
    def join(given: Join, request: Request, rater: Annotated[str | None, Cookie()] = None) -> Response:
        _of_this_page(request)
        if rater and len(rater) == 32 and store.rater(rater):
            return Response(status_code=204)
        token = secrets.token_hex(16)
        try:
            store.join(token, printable(given.name).strip(), lambda seen: study.plan(token, seen))
        except StudyFull as error:
            raise HTTPException(403, str(error)) from error
        reply = Response(status_code=204)
        reply.set_cookie(COOKIE, token, max_age=_YEAR, httponly=True, samesite="strict")
        return reply

    @app.get("/next")
    def next_item(rater: Annotated[str | None, Cookie()] = None) -> dict[str, Any]:
        return _shown(study, _known(store, rater), app.title)

    @app.post("/answer")
    def answer(given: GivenAnswer, request: Request, rater: Annotated[str | None, Cookie()] = None) -> dict[str, Any]:
        _of_this_page(request)
        who = _known(store, rater)
        number = next((item for item in who.items if study.token(who.token, item) == given.item), None)
        if number is None:
            raise HTTPException(404, "no such item of this rater")
        left = study.first_is_left(who.token, number)
        sides = {"follows": given.follows, "looks": given.looks}
        stored = StoredAnswer(who.token, number, sides, left, given.milliseconds, round(time.time(), 3))
        if not store.record(stored):
            raise HTTPException(409, "the item has been answered already")
        return _shown(study, _known(store, rater), app.title)


def _shown(study: Study, rater: Rater, title: str) -> dict[str, Any]:
    """The rater's next item, without anything that says whose images they are."""
    done = len(rater.answered)
    page: dict[str, Any] = {"title": title, "done": done, "of": len(rater.items), "item": None}
    number = next((item for item in rater.items if item not in rater.answered), None)
    if number is not None:
        item = study.items[number]
        left, right = item.images if study.first_is_left(rater.token, number) else reversed(item.images)
        page["item"] = {
            "token": study.token(rater.token, number),
            "prompt": item.prompt,
            "questions": dict(study.questions),
            "images": {"original": item.original, "left": left, "right": right},
        }
    return page


def _of_this_page(request: Request) -> None:
    """Refuse what another site's form or script would send."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send JSON")
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise HTTPException(403, "another site's request")


def _add_page(app: FastAPI) -> None:
    """The page, its style and its script: the same bytes for every study and rater."""
    folder = files("ip2p_lightning.serving.study") / "templates"
    kinds = {"study.html": "text/html; charset=utf-8", "study.css": "text/css", "study.js": "text/javascript"}

    def add(name: str, path: str) -> None:
        content = (folder / name).read_bytes()
        app.get(path, name=name)(lambda: Response(content, media_type=kinds[name], headers=_NOT_KEPT))

    add("study.html", "/")
    add("study.css", "/study.css")
    add("study.js", "/study.js")
