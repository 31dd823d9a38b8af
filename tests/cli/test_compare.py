"""``edgeadapt compare``."""

from pathlib import Path

import pytest

from edgeadapt.store.sample import Pass
from tests.benchmark.handmade import MS, make_record, make_sample
from tests.cli.conftest import Cli

LABELS = [0, 1, 0, 1]


@pytest.fixture
def records(folder: Path) -> Path:
    """Three records: one, a slower one, and one in which int8 is new."""
    where = folder / "artifacts/records"
    slow = {"latency_ns": {"16": [[3 * MS] * 40] * 2}}
    make_record(make_sample(), labels=LABELS).write(where / "first.json")
    make_record(make_sample(**slow), labels=LABELS).write(where / "slower.json")
    make_record(make_sample(), make_sample(variant="int8"), labels=LABELS).write(
        where / "more.json"
    )
    return where


def test_a_record_is_the_same_as_itself(cli: Cli, records: Path) -> None:
    done = cli("compare", "first", "first")

    assert done.code == 0
    assert "figures compared" in done.out
    assert done.err == ""


def test_a_regression_is_shown_and_ends_with_1(cli: Cli, records: Path) -> None:
    done = cli("compare", "first", "slower")

    assert done.code == 1
    assert "+50.0%" in done.out
    assert "worse, too much" in done.out
    assert "error: 2 figures are worse by more than allowed" in done.err
    assert "small:fp32, 16 tokens, p50, ms, 2 before and 3 after (+50.0%)" in done.err
    assert "hint: Measure again on an idle machine" in done.err


def test_what_got_faster_is_no_regression(cli: Cli, records: Path) -> None:
    done = cli("compare", "slower", "first")

    assert done.code == 0
    assert "better" in done.out


def test_throughput_is_shown_as_it_grew(cli: Cli, records: Path) -> None:
    for name, milliseconds in (("slow", 100), ("fast", 40)):
        speed = {"8": [[Pass(100, milliseconds * MS, None)] * 3]}
        make_record(make_sample(throughput=speed), labels=LABELS).write(records / f"{name}.json")

    faster, slower = cli("compare", "slow", "fast"), cli("compare", "fast", "slow")

    assert ("+150.0%" in faster.out, faster.code) == (True, 0)
    assert ("-60.0%" in slower.out, slower.code) == (True, 1)


@pytest.mark.parametrize("share", ["60%", "0.6", " 60 % ", "60 %", "150%", "1"])
def test_more_can_be_allowed(cli: Cli, records: Path, share: str) -> None:
    assert cli("compare", "first", "slower", "--fail-over", share).code == 0


@pytest.mark.parametrize("share", ["much", "-5%", "inf", "nan", "nan%", "5", "0,05", "%", ""])
def test_a_share_that_is_none_is_refused(cli: Cli, records: Path, share: str) -> None:
    done = cli("compare", "first", "slower", f"--fail-over={share}")

    done.fails_with("--fail-over: expected a share such as 5% or 0.05", repr(share))


@pytest.mark.parametrize(
    ("given", "hint"), [("0,01", "--max-drop 0.01"), ("1,5%", "--max-drop 1.5%"), ("2", "2%")]
)
def test_a_share_that_is_misspelt_gets_a_hint(
    cli: Cli, records: Path, given: str, hint: str
) -> None:
    cli("compare", "first", "slower", "--max-drop", given).fails_with("--max-drop", hint=hint)


def test_accuracy_cannot_fall_by_more_than_all_of_it(cli: Cli, records: Path) -> None:
    done = cli("compare", "first", "slower", "--max-drop", "101%")

    done.fails_with("--max-drop", "from 0 to 1", "'101%'")


@pytest.mark.parametrize("share", ["25%", "25 %", "0.25", "2.5e-1"])
def test_a_drop_in_percent_and_as_a_fraction_is_the_same(
    cli: Cli, records: Path, share: str
) -> None:
    for name, logits in (("right", [[1, 0], [0, 1]] * 100), ("wrong", [[1, 0], [1, 0]] * 100)):
        make_record(make_sample(logits=logits), labels=[0, 1] * 100).write(records / f"{name}.json")

    done = cli("compare", "right", "wrong", "--max-drop", share)

    done_at_half = cli("compare", "right", "wrong", "--max-drop", "50%")
    assert done.code == 1
    assert "accuracy 25.0%" in done.err
    assert done_at_half.code == 0, done_at_half.err


def test_json_holds_every_change(cli: Cli, records: Path) -> None:
    found = cli("compare", "first", "more", "--json").json

    assert found["regressions"] == 0
    assert found["notes"] == ["only after: small:int8"]
    assert {change["row"] for change in found["changes"]} == {"small:fp32"}
    assert set(found["changes"][0]) == {
        "row",
        "figure",
        "before",
        "after",
        "change",
        "interval",
        "lower_is_better",
        "verdict",
        "fails",
    }


def test_a_regression_ends_with_1_in_json_too(cli: Cli, records: Path) -> None:
    assert cli("compare", "first", "slower", "--json").code == 1


def test_records_can_be_paths(cli: Cli, records: Path) -> None:
    assert cli("compare", records / "first.json", "more").code == 0


def test_a_missing_record_is_named(cli: Cli, records: Path) -> None:
    cli("compare", "first", "nowhere").fails_with("no record at", "nowhere.json", hint="bench")
