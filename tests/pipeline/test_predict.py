"""The predict pipeline: reading texts from all sources."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.errors import DataError, MissingError, UsageError
from edgeadapt.pipeline.predict import predict, read_texts
from edgeadapt.runtime.classifier import load
from edgeadapt.store.bundle import Bundle

TEXTS = ["the room was warm", "a cold and awful meal", "good"]

LINES = st.lists(
    st.text(
        st.characters(codec="utf-8", exclude_characters="\n\ufeff"), min_size=1, max_size=20
    ).filter(str.strip),
    min_size=1,
    max_size=6,
)


def type_in(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts bytes on standard input."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))


def read_bytes(raw: bytes, tmp_path: Path, *, name: str = "texts.txt") -> list[str]:
    file = tmp_path / name
    file.write_bytes(raw)
    return read_texts(file, text_column="text")


def test_predictions_are_the_classifiers(tiny_bundle: Bundle) -> None:
    assert predict(tiny_bundle.path, TEXTS) == load(tiny_bundle.path).predict(TEXTS)


def test_a_variant_can_be_chosen(tiny_bundle: Bundle) -> None:
    fp32 = predict(tiny_bundle.path, TEXTS, variant="fp32", threads=1)

    assert fp32 == load(tiny_bundle.path, variant="fp32").predict(TEXTS)
    assert fp32 != predict(tiny_bundle.path, TEXTS, variant="int8", threads=1)


def test_an_unknown_variant_is_named_with_those_there_are(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="has no variant 'int4': found fp32, int8, torch"):
        predict(tiny_bundle.path, TEXTS, variant="int4")


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no bundle at .*nowhere"):
        predict(tmp_path / "nowhere", TEXTS)


def test_threads_below_one_are_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="threads: expected at least 1, found 0"):
        predict(tiny_bundle.path, TEXTS, threads=0)


def test_an_empty_text_is_named_by_its_number(tiny_bundle: Bundle) -> None:
    with pytest.raises(DataError, match="Text 2 is empty"):
        predict(tiny_bundle.path, ["good", " "])


def test_a_file_holds_one_text_a_line(tmp_path: Path) -> None:
    raw = "first text\nzweiter Text, süß\n第三\n".encode()

    assert read_bytes(raw, tmp_path) == ["first text", "zweiter Text, süß", "第三"]


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    assert read_bytes(b"one\ntwo", tmp_path) == ["one", "two"]


def test_line_ends_of_windows_and_a_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    assert read_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n", tmp_path) == ["one", "two"]


def test_only_newlines_end_a_text(tmp_path: Path) -> None:
    assert read_bytes("one\u2028still one\n".encode(), tmp_path) == ["one\u2028still one"]


def test_without_a_file_texts_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    type_in("one\ndeux, été\n".encode(), monkeypatch)

    assert read_texts(None, text_column="text") == ["one", "deux, été"]


@given(LINES)
@settings(max_examples=50, deadline=None)
def test_what_is_typed_in_is_read_back_without_surrounding_space(lines: list[str]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        type_in("\n".join(lines).encode(), monkeypatch)

        assert read_texts(None, text_column="text") == [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("texts.csv", b'text,label\n"one, with\na line",x\ntwo,y\n'),
        ("texts.jsonl", b'{"text": "one, with\\na line"}\n{"text": "two"}\n'),
    ],
)
def test_tables_are_read_by_their_text_column(tmp_path: Path, name: str, raw: bytes) -> None:
    assert read_bytes(raw, tmp_path, name=name) == ["one, with\na line", "two"]


def test_the_text_column_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text,review\nwrong,right\n")

    assert read_texts(file, text_column="review") == ["right"]


def test_a_missing_text_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"texts\.csv: no column 'text': found review, label") as e:
        read_bytes(b"review,label\na,b\n", tmp_path, name="texts.csv")

    assert "--text-column" in e.value.hint


def test_an_empty_text_in_a_table_is_named_by_its_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"texts\.csv, row 2: the text is empty"):
        read_bytes(b"text,label\na,b\n,c\n", tmp_path, name="texts.csv")


@pytest.mark.parametrize("name", ["texts.txt", "texts.csv", "texts.jsonl"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} does not exist"):
        read_texts(tmp_path / name, text_column="text")


def test_a_file_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"texts\.txt holds no text: expected one a line"):
        read_bytes(b"", tmp_path)


def test_standard_input_without_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(b"", monkeypatch)

    with pytest.raises(DataError, match="standard input holds no text: expected one a line"):
        read_texts(None, text_column="text")


@pytest.mark.parametrize(
    "raw", [b"one\n\nthree\n", b"one\n  \t\r\nthree\n", b"one\n\xef\xbb\xbf\n"]
)
def test_an_empty_line_is_named_by_its_number(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(DataError, match=r"texts\.txt, line 2: the text is empty"):
        read_bytes(raw, tmp_path)


def test_an_empty_line_on_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(b"\none\n", monkeypatch)

    with pytest.raises(DataError, match="standard input, line 1: the text is empty"):
        read_texts(None, text_column="text")


def test_a_line_in_another_encoding_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"texts\.txt, line 2: expected UTF-8") as caught:
        read_bytes("one\ndéjà vu\n".encode("latin1"), tmp_path)

    assert "iconv" in caught.value.hint
