"""Conversion of records of versions 1 and 2 to version 3."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgeadapt.errors import LayoutError
from edgeadapt.metrics import Score
from edgeadapt.store.conditions import Conditions, Moment
from edgeadapt.store.provenance import Backbone
from edgeadapt.store.record import Record

SCORES = {"texts": 8, "accuracy": 0.5, "macro_f1": 0.25}


def version_2(**changes: Any) -> dict[str, Any]:
    return {
        "format_version": 2,
        "created": "2025-01-01T00:00:00+00:00",
        "edgeadapt": "0.0.0",
        "machine": {"cpu": "Some CPU", "hostname": "box"},
        "threads": 1,
        "plan": {"rounds": 2, "children": 4},
        "evaluation": {"origin": "by hand", "texts": 0, "labels": None, "language": "en"},
        "baseline": "small:fp32",
        "samples": [],
        "conditions": {"before": {"governor": "performance", "fan": 3}, "mood": "calm"},
        "bundles": {
            "small": {
                "created": "2025-01-01T00:00:00+00:00",
                "edgeadapt": "0.0.0",
                "provenance": {
                    "run": "a-run",
                    "hostname": "box",
                    "backbone": {"id": "some/encoder", "layers": 6},
                    "validation": {},
                    "test": {**SCORES, "seconds": 3.0},
                },
                "schemes": {"fp32": None},
            }
        },
        **changes,
    }


def opened(path: Path, value: dict[str, Any]) -> Record:
    (path / "old.json").write_text(json.dumps(value))
    return Record.open(path / "old.json")


def test_keys_that_are_no_longer_known_are_left_out(tmp_path: Path) -> None:
    record = opened(tmp_path, version_2())

    assert record.machine.cpu == "Some CPU"
    assert record.plan.rounds == 2
    assert record.evaluation.origin == "by hand"
    assert record.conditions == Conditions(before=Moment(governor="performance"))
    made = record.bundles["small"].provenance
    assert made.backbone == Backbone("some/encoder")
    assert made.test == Score(**SCORES, precision=(), recall=())
    assert made.validation is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"machine": 3}, "machine must be object"),
        ({"plan": []}, "plan must be object"),
        ({"conditions": {"before": 3}}, "conditions.before must be object"),
        ({"bundles": {"small": 3}}, "bundles.small must be object"),
        (
            {"bundles": {"small": {"created": "", "edgeadapt": "", "schemes": {}}}},
            "bundles.small must contain ['provenance']",
        ),
    ],
)
def test_an_early_record_with_a_malformed_part_is_refused(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(LayoutError, match="not a benchmark record") as caught:
        opened(tmp_path, version_2(**changes))
    assert expected in caught.value.message
