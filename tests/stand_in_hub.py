"""A small HTTP server that answers like the Hugging Face hub."""

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

__all__ = ["StandInHub", "commit_of", "files_under", "hub_environment", "silent_server"]


def commit_of(name: str) -> str:
    """Returns a commit hash: forty hexadecimal digits made of any name."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def files_under(folder: Path) -> dict[str, bytes]:
    """Returns the content of every file under a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass
class StandInHub:
    """Repositories, and a log of what was asked for.

    A repository is named as in addresses: ``org/name`` or ``datasets/org/name``.
    """

    commits: dict[tuple[str, str], str] = field(default_factory=dict)
    """(repository, revision) -> commit."""
    files: dict[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict)
    """(repository, commit) -> content of its files."""
    gated: set[str] = field(default_factory=set)
    """Repositories whose files are refused without a token."""
    broken: set[str] = field(default_factory=set)
    """Repositories whose files break off after a few bytes."""
    requests: list[str] = field(default_factory=list)
    """``METHOD PATH`` of every request so far."""
    endpoint: str = ""

    def add(self, repository: str, files: Mapping[str, bytes], *, revision: str = "main") -> str:
        """Adds one revision of a repository and returns its commit."""
        commit = commit_of(f"{repository} {revision}")
        self.commits[repository, revision] = self.commits[repository, commit] = commit
        self.files[repository, commit] = files
        return commit

    def downloaded(self) -> set[str]:
        """Returns the names of the files that were sent."""
        paths = [line.removeprefix("GET ") for line in self.requests if line.startswith("GET ")]
        return {path.partition("/resolve/")[2].partition("/")[2] for path in paths} - {""}

    @contextmanager
    def serving(self) -> Iterator["StandInHub"]:
        """Serves on a free port until the block ends."""
        handler = type("Handler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[StandInHub]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if path == "/":
            self._send(200, b"the hub")
        elif path.startswith("/api/"):
            self._answer_api(path.removeprefix("/api/").removeprefix("models/"))
        else:
            self._answer_file(path.removeprefix("/"))

    def _answer_api(self, path: str) -> None:
        for part in ("/revision/", "/tree/"):
            if part in path:
                break
        repository, _, revision = path.partition(part)
        files = self._files(repository, revision or "main")
        if files is None:
            return
        if part == "/tree/":
            listing: Any = [
                {"type": "file", "path": name, "size": len(data), "oid": commit_of(name)}
                for name, data in files.items()
            ]
        else:
            listing = {
                "_id": commit_of(repository)[:24],
                "id": repository.removeprefix("datasets/"),
                "sha": self.hub.commits[repository, revision or "main"],
                "private": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": [{"rfilename": name} for name in files],
            }
        self._send(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

    def _answer_file(self, path: str) -> None:
        repository, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        files = self._files(repository, revision)
        if files is None:
            return
        if repository in self.hub.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        elif name not in files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            headers = {
                "X-Repo-Commit": self.hub.commits[repository, revision],
                "ETag": f'"{hashlib.sha256(files[name]).hexdigest()}"',
            }
            missing = 100 if repository in self.hub.broken else 0
            self._send(200, files[name], headers, missing=missing)

    def _files(self, repository: str, revision: str) -> Mapping[str, bytes] | None:
        """The files of a revision; where there are none, says so the way the hub does."""
        if not any(known == repository for known, _ in self.hub.commits):
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
            return None
        commit = self.hub.commits.get((repository, revision))
        if commit is None:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return self.hub.files[repository, commit]

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        missing: int = 0,
    ) -> None:
        """Sends an answer; ``missing`` bytes are announced and never come."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.close_connection = self.close_connection or missing > 0
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def silent_server() -> Iterator[str]:
    """The endpoint of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def hub_environment(endpoint: str, home: Path, **more: str) -> dict[str, str]:
    """An environment in which the hub is at ``endpoint`` and its cache under ``home``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    local = "127.0.0.1,localhost"
    return {
        **kept,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "NO_PROXY": local,
        "no_proxy": local,
        **more,
    }
