"""The table of other ways to a smaller model."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # scripts, no package

import common
import compression_peers
from compressors import COMPRESSORS

SAME = {"dataset": "trec", "seed": 0}
ROW = {
    **SAME,
    "peer": "onnxsim",
    "setting": "removed 0.5, texts 64",
    "seconds": 90.0,
    "weights": 0.5,
    "int8_bytes": 17_900_000,
    "validation": {"accuracy_drop": 0.031},
    "test": {"accuracy_drop": 0.02, "accuracy_after": 0.944, "drop_interval": (0.01, 0.03)},
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for module in (common, compression_peers):
        monkeypatch.setattr(module, "RESULTS", tmp_path)

    def written(name: str, rows: list[dict[str, Any]]) -> None:
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": rows}))

    return written


def test_a_row_shows_what_is_left_and_what_it_costs(write: Any) -> None:
    write("compression_peers", [ROW])

    line = compression_peers.kept().splitlines()[-1]

    assert (
        "| onnxsim, removed 0.5, texts 64 | 50% | 17.9 | 3.1 | 94.4 | 2.0 (1.0 to 3.0) | 1.5 |"
        in line
    )


def test_a_peer_that_failed_shows_its_error(write: Any) -> None:
    failed = {**SAME, "peer": "TextPruner", "setting": "removed 0.5", "error": "TypeError: device"}
    write("compression_peers", [failed])

    assert "| failed: TypeError: device |" in compression_peers.kept()


def test_latency_is_compared_with_the_unpruned_file_of_the_same_run_on_one_thread(
    write: Any,
) -> None:
    def timed(peer: str, setting: str, ms: float, **other: object) -> dict[str, Any]:
        medians = {name: [ms, 3 * ms, 3 * ms] for name in ("16", "64", "128")}
        found = {**SAME, "threads": 1, "peer": peer, "setting": setting}
        return {**found, "process_medians_ms": medians, **other}

    write("compression_peers", [ROW])
    write(
        "compression_peers-latency",
        [
            timed(ROW["peer"], ROW["setting"], 2.0),
            timed(compression_peers.UNPRUNED, "", 5.0),
            timed(compression_peers.UNPRUNED, "", 9.0, threads=2),
            timed(compression_peers.UNPRUNED, "", 8.0, seed=1),
        ],
    )

    assert "| 2.5 / 2.5 / 2.5 |" in compression_peers.kept()


def test_every_way_has_a_folder_of_its_own() -> None:
    folders = [peer.folder for peer in COMPRESSORS]

    assert len(set(folders)) == len(folders)
