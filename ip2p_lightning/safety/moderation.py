"""Texts judged by a moderation endpoint, as InstructPix2Pix and services of today do."""

from __future__ import annotations

from ip2p_lightning.bounded_text import parse_json
from ip2p_lightning.limits import SERVER_ANSWER
from ip2p_lightning.model_server import EndpointError, ModelServer, Refused


class Moderation:
    """A classifier behind `<url>/moderations` in OpenAI's format. A text that it cannot judge is refused.

    Args:
        model: name on the server.
        url: up to and including the version.
        concurrency, timeout, attempts, pause, key_variable: see `ModelServer`.
    """

    def __init__(
        self,
        model: str,
        url: str = "http://localhost:8000/v1",
        concurrency: int = 4,
        timeout: float = 30.0,
        attempts: int = 3,
        pause: float = 1.0,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        self.model = model
        self.server = ModelServer(url, concurrency, timeout, attempts, pause, key_variable)
        self.name = f"{model} at {self.server.url.host}"

    def find(self, text: str) -> str:
        """The categories that the server flags, or "not judged"; "" if it flags nothing.

        Raises:
            EndpointError: a server that gives no answer.
        """
        (content,) = self.server.ask("/moderations", [{"model": self.model, "input": text}])
        if isinstance(content, Refused):
            return "not judged"
        try:
            (result,) = parse_json(content, limit=SERVER_ANSWER)["results"]
            flagged = [str(name)[:50] for name, value in dict(result.get("categories") or {}).items() if value is True]
            return ", ".join(flagged) or "flagged" if result["flagged"] else ""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EndpointError(f"{self.server.url} answers with no moderation ({error})") from error
