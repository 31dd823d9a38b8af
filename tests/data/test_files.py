"""Users' files: encodings, quotes, sizes, and irregular files."""

import bz2
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeadapt.data import delimited, json_rows, raw, read_labels, read_rows
from edgeadapt.data.files import is_table, parse_lines
from edgeadapt.errors import DataError

GOOD = "text,label\ngood,positive\n"


def write(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


# Encodings


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", 'text,label\n"très\nbon",1\n'),
        ("data.jsonl", '{"text": "très\\nbon", "label": "1"}'),
    ],
)
def test_unicode_files_with_a_byte_order_mark_are_read(
    encoding: str, name: str, content: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content.encode(encoding), name)

    assert read_rows(path) == [{"text": "très\nbon", "label": "1"}]


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_unicode_files_without_a_mark_are_refused_with_their_encoding(
    encoding: str, order: str, name: str, tmp_path: Path
) -> None:
    error = refusal(write(tmp_path, (GOOD * 3).encode(f"{encoding}-{order}"), name))

    assert f"iconv -f {encoding}{order} -t utf-8" in error.hint


def test_utf16_of_another_script_is_not_called_latin(tmp_path: Path) -> None:
    content = "text,label\n" + "很好的电影,正\n" * 50

    assert "-f utf-16" in refusal(write(tmp_path, content.encode("utf-16-le"))).hint


def test_a_damaged_utf16_file_is_refused(tmp_path: Path) -> None:
    assert "utf-16" in refusal(write(tmp_path, GOOD.encode("utf-16") + b"\0")).message


def test_a_zero_byte_in_a_text_is_a_character(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path, "text,label\ngo\0od,a\n"))[0]["text"] == "go\0od"


def test_lines_are_read_in_every_unicode_encoding() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert parse_lines("eins\r\nzwölf\n".encode(encoding), where="x") == ["eins", "zwölf"]


# Quotes and headers


def rows_before(count: int) -> str:
    return "text,label\n" + "".join(f'"text ""{n}""\nand more",a\n' for n in range(count))


@pytest.mark.parametrize(
    "broken",
    [
        '"never closed,a\n',
        '"he said \\"no\\" twice",a\n',
        '"closed" too early,a\n',
    ],
)
@pytest.mark.parametrize("after", ["", '"fine",a\nfine,b\n' * 20])
def test_a_quote_that_breaks_the_file_is_named_by_the_row_where_it_began(
    broken: str, after: str, tmp_path: Path
) -> None:
    error = refusal(write(tmp_path, rows_before(399) + broken + after))

    assert "data.csv, row 400, which begins in line 800: not valid CSV" in error.message
    assert "Double a quote" in error.hint


def test_a_quote_that_breaks_the_header_is_named(tmp_path: Path) -> None:
    assert "header" in refusal(write(tmp_path, '"text,label\ngood,a\n')).message


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("text,label,text", "two columns are called 'text'"),
        ("text,text", "two columns are called 'text'"),
        ("text,label,,", "two columns are called ''"),
        ("text,,label", "column 2 has no name"),
        ("text,label,", "column 3 has no name"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_header_with_a_name_twice_or_none_is_refused(
    header: str, said: str, encoding: str, tmp_path: Path
) -> None:
    row = ",".join("a" for _ in header.split(","))

    error = refusal(write(tmp_path, f"{header}\n{row}\n".encode(encoding)))

    assert said in error.message


def test_the_index_that_pandas_writes_needs_no_name(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path, ",text,label\n0,good,a\n"))[0]["text"] == "good"


@pytest.mark.parametrize("name", ["DATA.CSV", "data.Csv"])
def test_the_suffix_may_be_in_capitals(name: str, tmp_path: Path) -> None:
    assert len(read_rows(write(tmp_path, GOOD, name))) == 1


# Other separators


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", 'text;label\r\n"good; 1,5 stars";a\r\nfair, too;b\r\n'),
        ("data.csv", "\ufefftext\tlabel\ngood; 1,5 stars\ta\nfair, too\tb\n"),
        ("data.tsv", 'text\tlabel\n"good; 1,5 stars"\ta\nfair, too\tb\n'),
        ("data.csv", 'sep=;\r\ntext;label\r\n"good; 1,5 stars";a\r\nfair, too;b\r\n'),
    ],
)
def test_semicolons_and_tabs_of_spreadsheets_are_told_by_the_header(
    name: str, content: str, tmp_path: Path
) -> None:
    assert read_rows(write(tmp_path, content, name)) == [
        {"text": "good; 1,5 stars", "label": "a"},
        {"text": "fair, too", "label": "b"},
    ]


def test_a_header_of_one_quoted_name_is_one_column(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path, '"a;b"\nx\n')) == [{"a;b": "x"}]


def test_a_quote_in_a_tsv_file_without_quotes_takes_in_no_other_row(tmp_path: Path) -> None:
    content = 'text\tlabel\n"Well, he said\ta\nfine\tb\nyou "know"\tb\nend"\ta\n'

    texts = [row["text"] for row in read_rows(write(tmp_path, content, "data.tsv"))]

    assert texts == ['"Well, he said', "fine", 'you "know"', 'end"']


def test_a_quoted_text_of_two_lines_in_a_tsv_file_is_one(tmp_path: Path) -> None:
    content = 'text\tlabel\n"one\nand ""two"""\ta\nfine\tb\n'

    assert read_rows(write(tmp_path, content, "data.tsv"))[0]["text"] == 'one\nand "two"'


def test_a_row_with_a_separator_too_many_names_it(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "text;label\ngood; or bad;a\n"))

    assert "row 1: expected 2 fields, as in the header, found 3" in error.message
    assert "a semicolon" in error.hint


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (gzip.compress(GOOD.encode()), "gzip-compressed data"),
        (bz2.compress(GOOD.encode()), "bzip2-compressed data"),
        (b"PK\x03\x04\x14\x00", "a spreadsheet (.xlsx"),
        (b"PAR1\x15\x04", "parquet data"),
    ],
    ids=["gzip", "bzip2", "xlsx", "parquet"],  # gzip writes the time into its header
)
@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_a_file_that_is_another_kind_than_its_name_says_is_named(
    name: str, content: bytes, found: str, tmp_path: Path
) -> None:
    assert found in refusal(write(tmp_path, content, name)).message


# JSON


@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.ndjson"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_json_list_of_objects_is_read(
    encoding: str, indent: int | None, name: str, tmp_path: Path
) -> None:
    rows = [{"text": f"]}},{{ {number}", "label": number % 2} for number in range(5)]

    content = json.dumps(rows, indent=indent).encode(encoding)

    assert read_rows(write(tmp_path, content, name)) == rows


@pytest.mark.usefixtures("small")
def test_a_json_list_longer_than_what_is_parsed_at_a_time_is_read(tmp_path: Path) -> None:
    rows = [{"text": f"{number}" * 450} for number in range(10)]

    assert read_rows(write(tmp_path, json.dumps(rows), "data.json")) == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"text": "a"}, 1]', "row 2: expected an object, found '1'"),
        ('[{"text": "a"} {"text": "b"}]', "row 2: not valid JSON: expected a comma"),
        ('[{"text": "a"}', "row 2: not valid JSON: expected a comma"),
        ('[{"text": "a"}] x', "row 2: not valid JSON: expected a comma"),
        ('[{"text": "a"},]', "row 2: not valid JSON"),
        ('[{"text": "a", "text": "b"}]', "row 1: not valid JSON: it has the key 'text' twice"),
        ("[" * 100_000, "row 1: not valid JSON: it is nested too deeply"),
        ('{"data": [{"text": "a"}], "version": []}', "found one object with data, version"),
        ('{\n  "text": "a"\n}', "row 1: not valid JSON"),
    ],
)
def test_json_that_is_no_list_of_objects_is_refused(
    content: str, said: str, tmp_path: Path
) -> None:
    error = refusal(write(tmp_path, content, "data.json"))

    assert said in error.message
    assert "ist of objects" in error.message + error.hint


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a", "label": 1, "text": "b"}', "it has the key 'text' twice"),
        ('{"text": "a", "meta": {"x": 1, "x": 1}}', "it has the key 'x' twice"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "it is nested too deeply"),
        ('{"text": ' + '{"a":' * 100_000 + "1" + "}" * 100_001, "it is nested too deeply"),
        ('{"text": "a", "label": ' + "9" * 5_000 + "}", "a number in it has too many digits"),
    ],
    ids=["key", "inner-key", "lists", "objects", "digits"],
)
def test_json_that_misleads_or_exhausts_is_refused_by_row(
    line: str, said: str, tmp_path: Path
) -> None:
    error = refusal(write(tmp_path, f'{{"text": "a", "label": 1}}\n{line}\n', "data.jsonl"))

    assert f"data.jsonl, row 2: not valid JSON: {said}" in error.message


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '["a", {"x": 1, "x": 2}]', "[" + "9" * 5_000 + "]"]
)
def test_labels_json_that_exhausts_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.json is not valid JSON"):
        read_labels(write(tmp_path, content, "labels.json"))


# Bounds


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test reaches in no time."""
    for module in (delimited, json_rows):
        monkeypatch.setattr(module, "MOST_CHARACTERS", 1_000)
    monkeypatch.setattr(delimited, "MOST_ROWS", 10)
    monkeypatch.setattr(raw, "MOST_BYTES", 5_000)


def test_a_field_of_a_hundred_megabytes_is_refused_by_its_row(tmp_path: Path) -> None:
    content = b'text,label\ngood,a\n"' + b"x" * 100_000_000 + b'",b\n'

    error = refusal(write(tmp_path, content))

    assert "data.csv, row 2" in error.message
    assert "field limit" in error.message


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data.csv", "text\n" + "x" * 1_001 + "\n", "row 1"),
        ("data.jsonl", json.dumps({"text": "x" * 1_001}), "row 1: the line is too long"),
        ("data.csv", "text\n" + "x\n" * 11, "has too many rows: expected at most 10"),
        ("data.json", json.dumps([{"text": "x"}, {"text": "x" * 1_001}]), "row 2: the line is too"),
        ("data.json", json.dumps([{"text": "x" * 3_000}]), "row 1: not valid JSON"),
        ("data.json", json.dumps([{"text": "x"}] * 11), "has too many rows: expected at most 10"),
        ("data.jsonl", '{"text": "x"}\n' * 11, "has too many rows: expected at most 10"),
        ("data.csv", "text\n" + "x" * 5_000, "is too large: expected at most 5,000 bytes"),
    ],
)
def test_what_is_beyond_a_bound_is_refused(
    name: str, content: str, said: str, tmp_path: Path
) -> None:
    assert said in refusal(write(tmp_path, content, name)).message


@pytest.mark.usefixtures("small")
def test_a_line_that_is_too_long_is_named() -> None:
    with pytest.raises(DataError, match="x, line 2: the line is too long"):
        parse_lines(b"short\n" + b"x" * 1_001, where="x")


# What is no file


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "found"), [(Path.mkdir, "a folder"), (pipe, "a pipe"), (device, "a device")]
)
@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_what_is_no_regular_file_is_refused_unread(
    make: Callable[[Path], None], found: str, name: str, tmp_path: Path
) -> None:
    make(tmp_path / name)

    assert f"{name}: expected a file, found {found}" in refusal(tmp_path / name).message


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(Path("x" * 5_000 + ".csv"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a.parquet", "Convert"),
        ("a.XLSX", "spreadsheet"),
        ("a.csv.gz", "gunzip --keep a.csv.gz"),
        ("a.tar.xz", "unxz"),
    ],
)
def test_another_kind_of_table_is_not_read_as_lines(name: str, hint: str) -> None:
    with pytest.raises(DataError, match=r"\.jsonl.* or \.txt file, found") as caught:
        is_table(Path(name))

    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "table"),
    [
        *(("a.csv", True), ("a.JSONL", True), ("a.tsv", True), ("a.json", True)),
        *(("a.txt", False), ("a", False)),
    ],
)
def test_tables_are_told_by_their_names(name: str, table: bool) -> None:
    assert is_table(Path(name)) is table
