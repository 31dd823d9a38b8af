"""Fetching from the hub: a stand-in server, a cache of its own, and every way it can fail."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.children import run_child
from tests.stand_in_hub import StandInHub, hub_environment, silent_server

FETCH = """
import json, sys
from time import perf_counter
from edgeadapt.errors import EdgeAdaptError
from edgeadapt.models.hub import fetch

asked = json.loads(sys.argv[1])
started = perf_counter()
try:
    found = fetch(asked.pop("repository"), **asked)
    names = sorted(p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*.*"))
    answer = {"files": names, "commit": found.commit, "folder": str(found.folder)}
except EdgeAdaptError as error:
    answer = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
print(json.dumps({**answer, "seconds": perf_counter() - started}))
"""
FIND_MODEL = """
import json, sys
from edgeadapt.recipe import ModelConfig
from edgeadapt.models.sources import find_model

found = find_model(ModelConfig(id=sys.argv[1], revision=sys.argv[2] or None))
names = sorted(path.name for path in found.folder.iterdir())
print(json.dumps({"files": names, "id": found.id, "commit": found.commit}))
"""
FILES = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"}
PATIENCE_SECONDS = 10


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub().serving() as serving:
        yield serving


def fetch(repository: str, environment: dict[str, str], **asked: Any) -> dict[str, Any]:
    question = {"kind": "model", "revision": None, "patterns": ["*"], **asked}
    asked_in_full = json.dumps({"repository": repository, **question})
    return run_child(FETCH, asked_in_full, environment=environment)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_files_and_commit_of_a_model_arrive(hub: StandInHub, tmp_path: Path) -> None:
    commit = hub.add("org/tiny", FILES)

    found = fetch("org/tiny", hub_environment(hub.endpoint, tmp_path))

    assert found["files"] == sorted(FILES)
    assert found["commit"] == commit
    assert {name: (Path(found["folder"]) / name).read_bytes() for name in FILES} == FILES


def test_files_of_a_data_set_arrive(hub: StandInHub, tmp_path: Path) -> None:
    commit = hub.add("datasets/org/reviews", {"data/train.csv": b"text,label\n"})

    found = fetch("org/reviews", hub_environment(hub.endpoint, tmp_path), kind="dataset")

    assert found["files"] == ["data/train.csv"]
    assert found["commit"] == commit


def test_only_files_that_match_a_pattern_are_downloaded(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("org/tiny", {**FILES, "modeling_tiny.py": b"import os", "optimizer.bin": b"pickle"})

    found = fetch(
        "org/tiny",
        hub_environment(hub.endpoint, tmp_path),
        patterns=["config.json", "*.safetensors"],
    )

    assert found["files"] == sorted(FILES)
    assert hub.downloaded() == set(FILES)


def test_a_revision_is_passed_on(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("org/tiny", FILES)
    older = hub.add("org/tiny", {"config.json": b"{}"}, revision="v1")
    environment = hub_environment(hub.endpoint, tmp_path)

    by_tag = fetch("org/tiny", environment, revision="v1")
    by_commit = fetch("org/tiny", environment, revision=older)

    assert by_tag["commit"] == by_commit["commit"] == older
    assert by_tag["files"] == ["config.json"]
    assert "GET /api/models/org/tiny/revision/v1" in hub.requests


def test_the_cache_answers_when_the_hub_is_gone(tmp_path: Path) -> None:
    with StandInHub().serving() as hub:
        commit = hub.add("org/tiny", FILES)
        environment = hub_environment(hub.endpoint, tmp_path)
        fetch("org/tiny", environment)

    found = fetch("org/tiny", environment)

    assert found["commit"] == commit
    assert found["files"] == sorted(FILES)


def test_the_cache_answers_in_offline_mode_without_a_request(
    hub: StandInHub, tmp_path: Path
) -> None:
    commit = hub.add("org/tiny", FILES)
    fetch("org/tiny", hub_environment(hub.endpoint, tmp_path))
    hub.requests.clear()

    found = fetch("org/tiny", hub_environment(hub.endpoint, tmp_path, HF_HUB_OFFLINE="1"))

    assert found["commit"] == commit
    assert hub.requests == []


def test_a_cached_revision_does_not_stand_in_for_another(tmp_path: Path) -> None:
    with StandInHub().serving() as hub:
        hub.add("org/tiny", FILES)
        environment = hub_environment(hub.endpoint, tmp_path)
        fetch("org/tiny", environment)

    failed = fetch("org/tiny", environment, revision="v2")

    assert failed["error"] == "HubError"
    assert "not in the local cache" in failed["message"]


@pytest.mark.parametrize(
    ("kind", "repository"), [("model", "org/unknown"), ("dataset", "org/unknown")]
)
def test_an_unknown_id_is_named_with_the_status(
    hub: StandInHub, tmp_path: Path, kind: str, repository: str
) -> None:
    failed = fetch(repository, hub_environment(hub.endpoint, tmp_path), kind=kind)

    assert failed["error"] == "HubError"
    assert f"{kind} 'org/unknown'" in failed["message"]
    assert "404" in failed["message"]
    assert "HF_TOKEN" in failed["hint"]


@pytest.mark.parametrize(
    ("kind", "repository", "option"),
    [
        ("model", "org/tiny", " --revision"),
        ("dataset", "datasets/org/tiny", " --dataset-revision"),
    ],
)
def test_an_unknown_revision_is_named_with_the_option_that_sets_it(
    hub: StandInHub, tmp_path: Path, kind: str, repository: str, option: str
) -> None:
    hub.add(repository, FILES)

    failed = fetch("org/tiny", hub_environment(hub.endpoint, tmp_path), kind=kind, revision="v9")

    assert failed["error"] == "HubError"
    assert "'org/tiny'" in failed["message"]
    assert "'v9'" in failed["message"]
    assert "404" in failed["message"]
    assert option in failed["hint"]


def test_a_gated_repository_is_named_with_the_status_and_the_token(
    hub: StandInHub, tmp_path: Path
) -> None:
    hub.add("org/tiny", FILES)
    hub.gated.add("org/tiny")

    failed = fetch("org/tiny", hub_environment(hub.endpoint, tmp_path))

    assert failed["error"] == "HubError"
    assert "'org/tiny'" in failed["message"]
    assert "403" in failed["message"]
    assert "HF_TOKEN" in failed["hint"]


def test_a_connection_that_breaks_off_is_an_expected_failure(
    hub: StandInHub, tmp_path: Path
) -> None:
    hub.add("org/tiny", FILES)
    hub.broken.add("org/tiny")

    failed = fetch("org/tiny", hub_environment(hub.endpoint, tmp_path))

    assert failed["error"] == "HubError"
    assert "'org/tiny'" in failed["message"]
    assert failed["hint"]


def test_an_id_that_cannot_be_one_is_named(hub: StandInHub, tmp_path: Path) -> None:
    failed = fetch("not an id", hub_environment(hub.endpoint, tmp_path))

    assert failed["error"] == "HubError"
    assert "'not an id'" in failed["message"]
    assert failed["hint"]


@pytest.mark.parametrize(
    ("kind", "option", "file"),
    [("model", "--model", "checkpoint"), ("dataset", "--dataset", "CSV")],
)
def test_without_a_hub_and_a_copy_both_ways_offline_are_named(
    tmp_path: Path, kind: str, option: str, file: str
) -> None:
    failed = fetch("org/tiny", hub_environment(closed_port(), tmp_path), kind=kind)

    assert failed["error"] == "HubError"
    assert f"{kind} 'org/tiny'" in failed["message"]
    assert "cannot be reached" in failed["message"]
    assert "\n" not in failed["message"]
    assert option in failed["hint"]
    assert file in failed["hint"]
    assert "edgeadapt train --recipe demo" in failed["hint"]


def test_a_hub_that_never_answers_is_given_up_soon(tmp_path: Path) -> None:
    with silent_server() as endpoint:
        failed = fetch("org/tiny", hub_environment(endpoint, tmp_path))

    assert failed["error"] == "HubError"
    assert "cannot be reached" in failed["message"]
    assert "--recipe demo" in failed["hint"]
    assert failed["seconds"] < PATIENCE_SECONDS


def test_a_copy_is_used_when_the_hub_never_answers(hub: StandInHub, tmp_path: Path) -> None:
    commit = hub.add("org/tiny", FILES)
    fetch("org/tiny", hub_environment(hub.endpoint, tmp_path))

    with silent_server() as endpoint:
        found = fetch("org/tiny", hub_environment(endpoint, tmp_path))

    assert found["commit"] == commit
    assert found["seconds"] < PATIENCE_SECONDS


def test_offline_mode_asks_nobody(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("org/tiny", FILES)

    failed = fetch("org/tiny", hub_environment(hub.endpoint, tmp_path, HF_HUB_OFFLINE="1"))

    assert failed["error"] == "HubError"
    assert "cannot be reached" in failed["message"]
    assert "--recipe demo" in failed["hint"]
    assert hub.requests == []


def test_safe_weights_are_taken_and_pickled_ones_left(hub: StandInHub, tmp_path: Path) -> None:
    commit = hub.add("org/tiny", {**FILES, "pytorch_model.bin": b"pickle", "code.py": b"x = 1"})

    found = run_child(
        FIND_MODEL, "org/tiny", "", environment=hub_environment(hub.endpoint, tmp_path)
    )

    assert found == {"id": "org/tiny", "commit": commit, "files": sorted(FILES)}
    assert hub.downloaded() == set(FILES)


def test_pickled_weights_are_taken_where_there_are_no_others(
    hub: StandInHub, tmp_path: Path
) -> None:
    hub.add("org/old", {"config.json": FILES["config.json"], "pytorch_model.bin": b"pickle"})

    found = run_child(
        FIND_MODEL, "org/old", "", environment=hub_environment(hub.endpoint, tmp_path)
    )

    assert found["files"] == ["config.json", "pytorch_model.bin"]


def test_a_model_of_another_revision_is_found_by_its_name(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("org/tiny", FILES)
    older = hub.add("org/tiny", FILES, revision="v1")

    found = run_child(
        FIND_MODEL, "org/tiny", "v1", environment=hub_environment(hub.endpoint, tmp_path)
    )

    assert found["commit"] == older
