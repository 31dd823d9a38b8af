"""Reading system files."""

from pathlib import Path

import pytest

from edgeadapt.measure.files import number_in, text_in


def test_text_comes_without_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "governor").write_text(" performance\n")

    assert text_in(tmp_path / "governor") == "performance"


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    assert text_in(tmp_path / "nowhere") == ""
    assert number_in(tmp_path / "nowhere") is None


def test_a_folder_says_nothing(tmp_path: Path) -> None:
    assert text_in(tmp_path) == ""


@pytest.mark.parametrize(
    ("content", "expected"), [("42000\n", 42_000.0), ("-5", -5.0), ("n/a", None)]
)
def test_a_number_is_read_where_there_is_one(
    tmp_path: Path, content: str, expected: float | None
) -> None:
    (tmp_path / "temp").write_text(content)

    assert number_in(tmp_path / "temp") == expected


def test_bytes_that_are_no_text_do_not_stop_a_benchmark(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"\xff\xfe7")

    assert number_in(tmp_path / "odd") is None
