"""Download a model or data set from the Hugging Face hub, or fail within seconds when offline.

Files are downloaded into the shared hub cache and then read like any local folder. No code from a
repository is ever run.
"""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edgeadapt.errors import HubError

__all__ = ["Snapshot", "fetch"]

_PROBE_SECONDS = 4.0

Kind = Literal["model", "dataset"]

_REVISION_OPTION = {"model": "--revision", "dataset": "--dataset-revision"}


class Snapshot:
    """Files of one commit of a hub repository.

    Args:
        folder: Local folder that holds the files.
        commit: The commit's hash.
    """

    def __init__(self, folder: Path, commit: str) -> None:
        self.folder = folder
        self.commit = commit


def fetch(
    repository: str, *, kind: Kind, revision: str | None, patterns: Sequence[str]
) -> Snapshot:
    """Downloads the files of a repository that match any pattern, or finds them in the cache.

    Args:
        repository: A hub id such as ``bert-base-uncased`` or ``stanfordnlp/imdb``.
        kind: Whether the repository holds a model or a data set.
        revision: Commit, tag or branch; ``None`` for the main branch.
        patterns: Shell-style patterns of the files to download.

    Raises:
        HubError: The hub cannot be reached and the cache has no copy, or the hub has no such
            repository or revision.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    online = _reachable()
    try:
        folder = snapshot_download(
            repository,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=not online,
            etag_timeout=_PROBE_SECONDS,
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise _unreachable(repository, kind) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no"
        at = f" at revision {revision!r}" if revision else ""
        raise HubError(
            f"The hub did not return the {kind} {repository!r}{at} (HTTP status {status}).",
            hint=f"Check the id and {_REVISION_OPTION[kind]}; a private repository needs a token "
            "in HF_TOKEN.",
        ) from None
    except (OSError, ValueError) as error:
        raise HubError(
            f"{repository!r} cannot be fetched from the hub: {error}",
            hint="Check the id and the connection, and try again: files already fetched are kept.",
        ) from None
    return Snapshot(Path(folder), Path(folder).name)


def _unreachable(repository: str, kind: Kind) -> HubError:
    option = {"model": "--model", "dataset": "--dataset"}[kind]
    file = {"model": "a folder with a checkpoint", "dataset": "a CSV, JSONL or parquet file"}[kind]
    return HubError(
        f"The {kind} {repository!r} is not in the local cache and the hub cannot be reached.",
        hint=f"Offline, either pass {option} {file}, or use the embedded default: "
        "edgeadapt train --recipe demo",
    )


def _reachable() -> bool:
    """Returns within a few seconds whether the hub is reachable.

    A DNS look-up has no timeout, so the request runs in a daemon thread, which is abandoned when
    it takes too long.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(
                urllib.request.Request(endpoint, method="HEAD"), timeout=_PROBE_SECONDS
            ).close()
        except urllib.error.HTTPError:
            pass  # an error status is an answer too: the hub is reachable
        except (OSError, ValueError):
            return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answered.is_set()
