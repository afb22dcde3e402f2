"""Publication of an exported folder on the hub, in one commit; what can go wrong is found before the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.utils import HFValidationError, validate_repo_id

from ip2p_lightning.untrusted import printable

_NETWORK: type[Exception] = HfHubHTTPError.__bases__[0]
"""Errors of the HTTP client that huggingface_hub uses."""
_PATIENCE = 20.0
"""Seconds that the hub may take to describe a repository."""
_OWN = frozenset({".gitattributes"})
"""Files that the hub itself puts into a new repository."""


class HubError(ValueError):
    """A repository that cannot be pushed to; one sentence with the remedy."""


@dataclass(frozen=True)
class Destination:
    """A model repository of the hub.

    Args:
        name: owner/name.
        private: whether it must be private; a new one is made so.
        overwrite: replace what it holds.

    Raises:
        HubError: no such name is possible.
    """

    name: str
    private: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        try:
            validate_repo_id(self.name)
        except HFValidationError as error:
            raise HubError(f"push={printable(self.name)} is no name of a repository; give owner/name") from error
        if "/" not in self.name:
            raise HubError(f"push={self.name} names no owner; give owner/name, such as you/{self.name}")

    def check(self) -> None:
        """Find out whether a push would succeed, without changing anything.

        Raises:
            HubError: no login, no network, a repository that is not empty, or a public one.
        """
        if get_token() is None:
            raise HubError(f"push={self.name} needs a login: `hf auth login`, or HF_TOKEN in the environment")
        with _explained(self.name):
            api = HfApi()
            api.whoami()
            try:
                found = api.model_info(self.name, timeout=_PATIENCE)
            except RepositoryNotFoundError:
                return
        held = sorted({file.rfilename for file in found.siblings or ()} - _OWN)
        if held and not self.overwrite:
            raise HubError(
                f"push={self.name} holds {len(held)} files already ({printable(', '.join(held[:3]))}); choose another "
                "name, or replace them with overwrite=true (its history keeps them)"
            )
        if self.private and not found.private:
            raise HubError(f"push={self.name} is public; set private=false if everybody may see the model")

    def upload(self, folder: Path, summary: str) -> str:
        """Push a folder in one commit; returns its address.

        Args:
            folder: as `export` wrote it.
            summary: the commit's message.

        Raises:
            HubError: the hub refuses, or cannot be reached.
        """
        with _explained(self.name):
            api = HfApi()
            api.create_repo(self.name, private=self.private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=self.name,
                folder_path=folder,
                commit_message=summary,
                delete_patterns=["*"] if self.overwrite else None,
            )
        return str(commit.repo_url)


def contents(folder: Path) -> list[tuple[str, int]]:
    """The files that a push of a folder uploads, with their sizes in bytes."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in files]


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Errors of the hub as sentences; they hold no headers, and so no token."""
    try:
        yield
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise HubError(
                f"the hub does not let this login write to {name} (HTTP {status}); `hf auth login` with a token that "
                "may write, or choose a repository of your own"
            ) from error
        raise HubError(f"the hub answered {_line(error)}; nothing more of {name} was uploaded, try again") from error
    except OfflineModeIsEnabled as error:
        raise HubError(
            f"push={name} needs the network, but HF_HUB_OFFLINE is set; dry_run=true shows what would be uploaded"
        ) from error
    except (_NETWORK, OSError) as error:
        raise HubError(
            f"push={name}: the hub cannot be reached ({_line(error)}); the folder can be pushed later: "
            f"hf upload {name} FOLDER"
        ) from error


def _line(error: Exception) -> str:
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
