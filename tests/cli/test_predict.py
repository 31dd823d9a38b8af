"""``edgeadapt predict``."""

import io
import json
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.torch import load_file, save_file

from edgeadapt.data import write_csv
from edgeadapt.store.bundle import Bundle
from tests.cli.conftest import Cli
from tests.store.manifests import edit_json
from tests.tasks import MULTI_LABEL, PAIRS, TOPICS, task_bundle, topical

TEXTS = ("the film was good", "a dull, cold meal", "café “soup” was bad")


@pytest.fixture
def from_stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(content: bytes) -> None:
        stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def write_texts(path: Path) -> Path:
    if path.suffix == ".csv":
        write_csv(path, {"label": range(len(TEXTS)), "text": TEXTS})
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    else:
        path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def test_json_is_one_object_with_every_text_in_order(cli: Cli, light_bundle: Path) -> None:
    answer = cli("predict", light_bundle, *TEXTS, "--json").json

    assert list(answer) == ["predictions"]
    assert [p["text"] for p in answer["predictions"]] == list(TEXTS)
    for prediction in answer["predictions"]:
        assert set(prediction) >= {"text", "label", "score", "scores"}
        assert set(prediction["scores"]) == {"negative", "positive"}
        assert math.isclose(sum(prediction["scores"].values()), 1, rel_tol=1e-5)
        assert prediction["score"] == prediction["scores"][prediction["label"]]
        assert prediction["score"] == max(prediction["scores"].values())


@pytest.mark.parametrize("name", ["texts.txt", "texts.csv", "texts.jsonl"])
def test_a_file_and_arguments_give_the_same_answers(
    cli: Cli, light_bundle: Path, tmp_path: Path, name: str
) -> None:
    from_arguments = cli("predict", light_bundle, *TEXTS, "--json").json

    from_file = cli("predict", light_bundle, "--file", write_texts(tmp_path / name), "--json")

    assert from_file.json == from_arguments


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_standard_input_and_arguments_give_the_same_answers(
    cli: Cli, light_bundle: Path, from_stdin: Callable[[bytes], None], end: str
) -> None:
    from_arguments = cli("predict", light_bundle, *TEXTS, "--json").json
    from_stdin("".join(text + end for text in TEXTS).encode())

    assert cli("predict", light_bundle, "--json").json == from_arguments


def test_a_fresh_process_answers_a_pipe_and_prints_json_alone(
    cli: Cli,
    light_bundle: Path,
    edgeadapt_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = edgeadapt_command("predict", str(light_bundle), "--json", input="\n".join(TEXTS))

    assert json.loads(done.stdout) == cli("predict", light_bundle, *TEXTS, "--json").json
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_another_text_column_is_read(cli: Cli, light_bundle: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "texts.csv", {"body": TEXTS})

    answer = cli(
        *("predict", light_bundle, "--file", tmp_path / "texts.csv"),
        *("--text-column", "body", "--json"),
    ).json

    assert [p["text"] for p in answer["predictions"]] == list(TEXTS)


def test_lines_show_label_score_and_text(cli: Cli, light_bundle: Path) -> None:
    answers = cli("predict", light_bundle, *TEXTS, "--json").json["predictions"]

    shown = cli("predict", light_bundle, *TEXTS)

    lines = shown.out.splitlines()
    assert shown.code == 0
    assert len(lines) == len(TEXTS)
    for line, answer in zip(lines, answers, strict=True):
        assert line.split()[:2] == [answer["label"], f"{answer['score']:.1%}"]
        assert answer["text"] in line


def test_a_long_text_is_shown_shortened(cli: Cli, light_bundle: Path) -> None:
    text = "the film was good " * 20

    shown = cli("predict", light_bundle, text)

    assert shown.code == 0
    assert "…" in shown.out
    assert text not in shown.out


def test_a_variant_is_chosen_by_name(cli: Cli, light_bundle: Path) -> None:
    default, int8, fp32 = (
        cli("predict", light_bundle, TEXTS[0], "--json", *variant).json["predictions"][0]["score"]
        for variant in ((), ("--variant", "int8"), ("--variant", "fp32"))
    )

    assert default == int8
    assert fp32 != int8
    assert math.isclose(fp32, int8, abs_tol=0.05)


def test_a_bundle_is_found_by_its_name(cli: Cli, light_bundle: Path, folder: Path) -> None:
    shutil.copytree(light_bundle, folder / "artifacts/bundles/reviews")

    assert cli("predict", "reviews", TEXTS[0]).code == 0


def test_an_unknown_variant_lists_the_ones_there_are(cli: Cli, light_bundle: Path) -> None:
    cli("predict", light_bundle, "good", "--variant", "int4").fails_with("'int4'", "fp32, int8")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("variant", ["fp32", "torch"])
@pytest.mark.parametrize("how", [(), ("--json",)])
def test_weights_that_are_no_numbers_give_an_error_and_no_label(
    cli: Cli, tiny_bundle: Bundle, tmp_path: Path, value: float, variant: str, how: tuple[str, ...]
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))
    if variant == "torch":
        tensors = load_file(bundle / "torch/model.safetensors")
        tensors["classifier.bias"][0] = value
        save_file(tensors, bundle / "torch/model.safetensors", metadata={"format": "pt"})
    else:
        model = onnx.load(bundle / "onnx/model.onnx")
        (bias,) = (i for i in model.graph.initializer if i.name == "classifier.bias")
        bias.CopyFrom(onnx.numpy_helper.from_array(np.float32([value, 0]), bias.name))
        onnx.save(model, bundle / "onnx/model.onnx")
    Bundle.write(bundle, tiny_bundle.manifest)

    cli("predict", bundle, "the film", "--variant", variant, *how).fails_with(
        "expected finite logits", "for text 1", hint="another variant"
    )


def test_no_thread_is_too_few(cli: Cli, light_bundle: Path) -> None:
    cli("predict", light_bundle, "good", "--threads", "0").fails_with("threads", "at least 1", "0")


def test_texts_and_a_file_exclude_each_other(cli: Cli, light_bundle: Path, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "texts.txt")

    cli("predict", light_bundle, "good", "--file", file).fails_with("--file", "not both")


@pytest.mark.parametrize("text", ["", "  \t "])
def test_an_empty_text_is_counted(cli: Cli, light_bundle: Path, text: str) -> None:
    cli("predict", light_bundle, "good", text).fails_with("Text 2 is empty")


def test_an_argument_that_is_not_utf8_is_counted(cli: Cli, light_bundle: Path) -> None:
    undecodable = b"caf\xe9".decode("utf-8", "surrogateescape")

    cli("predict", light_bundle, "good", undecodable).fails_with("2", "UTF-8", hint="iconv")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("texts.txt", b"", ["holds no text"]),
        ("texts.txt", b"good\n\nbad\n", ["line 2", "empty"]),
        ("texts.txt", b"good\ncaf\xe9\n", ["line 2", "UTF-8"]),
        ("texts.csv", b"", ["holds no examples"]),
        ("texts.csv", b"text\n", ["holds no examples"]),
        ("texts.csv", b'text\ngood\n" "\n', ["row 2", "empty"]),
        ("texts.csv", b"text\ngood\ncaf\xe9\n", ["row 2", "UTF-8", "0xe9"]),
        ("texts.csv", b"body\ngood\n", ["no column 'text'", "body"]),
        ("texts.jsonl", b'{"text": "good"}\n{"text": 3}\n', ["row 2", "3"]),
        ("texts.jsonl", b'{"text": "good"}\nbad\n', ["row 2", "not valid JSON"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    cli: Cli, light_bundle: Path, tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    cli("predict", light_bundle, "--file", file).fails_with(str(file), *words)


def test_a_file_that_is_not_there_is_named(cli: Cli, light_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "nowhere.txt"

    cli("predict", light_bundle, "--file", file).fails_with(str(file), "does not exist")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["holds no text"]),
        (b"good\n \n", ["line 2", "empty"]),
        (b"good\ncaf\xe9\n", ["line 2", "UTF-8"]),
    ],
)
def test_standard_input_that_cannot_be_read_is_named(
    cli: Cli,
    light_bundle: Path,
    from_stdin: Callable[[bytes], None],
    content: bytes,
    words: list[str],
) -> None:
    from_stdin(content)

    cli("predict", light_bundle).fails_with("standard input", *words)


def test_a_missing_bundle_is_named(cli: Cli, folder: Path) -> None:
    cli("predict", "nowhere", "good").fails_with(
        "no bundle", "artifacts/bundles/nowhere", hint="edgeadapt export"
    )


def test_an_unfinished_bundle_is_named(cli: Cli, light_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(light_bundle, tmp_path / "unfinished")
    (bundle / "manifest.json").unlink()

    cli("predict", bundle, "good").fails_with(str(bundle), "manifest.json")


def test_a_bundle_of_a_newer_format_names_both_versions(
    cli: Cli, light_bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(light_bundle, tmp_path / "newer")
    edit_json(bundle / "manifest.json", lambda manifest: manifest.update(format_version=99))

    cli("predict", bundle, "good").fails_with(
        str(bundle / "manifest.json"), "99", f"up to {Bundle.FORMAT_VERSION}", hint="--upgrade"
    )


@pytest.mark.parametrize("name", ["onnx/model_quantized.onnx", "tokenizer.json"])
def test_a_changed_file_is_named_with_both_hashes(
    cli: Cli, light_bundle: Path, tmp_path: Path, name: str
) -> None:
    bundle = shutil.copytree(light_bundle, tmp_path / "damaged")
    expected = json.loads((bundle / "manifest.json").read_text())["files"][name]["sha256"]
    (bundle / name).write_bytes((bundle / name).read_bytes() + b" ")

    cli("predict", bundle, "good").fails_with(
        str(bundle / name), f"expected sha256 {expected}", "found "
    )


def test_output_in_another_encoding_is_no_crash(
    light_bundle: Path, edgeadapt_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)}

    done = edgeadapt_command("predict", str(light_bundle), TEXTS[2], "--json", env=environment)

    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["predictions"][0]["text"] == TEXTS[2]


# Pairs

PAIR = ("the film was good", "a dull, cold meal")


@pytest.fixture(scope="module")
def pair_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return task_bundle(tmp_path_factory, PAIRS).path


def test_a_pair_is_a_text_and_its_text_pair(cli: Cli, pair_bundle: Path) -> None:
    (found,) = cli("predict", pair_bundle, PAIR[0], "--text-pair", PAIR[1], "--json").json[
        "predictions"
    ]

    assert (found["text"], found["text_pair"]) == PAIR
    assert set(found["scores"]) == {"agree", "differ"}
    assert found["labels"] == [found["label"]]


def test_a_line_shows_both_texts(cli: Cli, pair_bundle: Path) -> None:
    shown = cli("predict", pair_bundle, PAIR[0], "--text-pair", PAIR[1])

    assert " | ".join(PAIR) in shown.out


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ""])
@pytest.mark.parametrize("columns", [("text", "text_pair"), ("a", "b")])
def test_a_file_of_pairs_gives_the_same_answers(
    cli: Cli, pair_bundle: Path, tmp_path: Path, suffix: str, columns: tuple[str, str]
) -> None:
    file = tmp_path / f"pairs{suffix}"
    if suffix == ".csv":
        write_csv(file, {name: [text] for name, text in zip(columns, PAIR, strict=True)})
    else:
        file.write_text(json.dumps(dict(zip(columns, PAIR, strict=True))) + "\n")
    named = ("--text-column", columns[0], "--text-pair-column", columns[1])
    options = () if columns == ("text", "text_pair") else named

    found = cli("predict", pair_bundle, "--file", file, *options, "--json")

    assert (
        found.json == cli("predict", pair_bundle, *PAIR[:1], "--text-pair", PAIR[1], "--json").json
    )


def test_pairs_come_as_json_lines_from_standard_input(
    cli: Cli, pair_bundle: Path, from_stdin: Callable[[bytes], None]
) -> None:
    from_stdin(json.dumps({"text": PAIR[0], "text_pair": PAIR[1]}).encode())

    (found,) = cli("predict", pair_bundle, "--json").json["predictions"]

    assert (found["text"], found["text_pair"]) == PAIR


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["holds no pairs"]),
        (b"good\n", ["row 1", "not valid JSON"]),
        (b'{"text": "good"}\n', ["no column 'text_pair'"]),
        (b'{"text": "good", "text_pair": ""}\n', ["row 1", "empty", "text_pair"]),
    ],
)
def test_what_is_no_pair_on_standard_input_is_named(
    cli: Cli,
    pair_bundle: Path,
    from_stdin: Callable[[bytes], None],
    content: bytes,
    words: list[str],
) -> None:
    from_stdin(content)

    cli("predict", pair_bundle).fails_with("standard input", *words)


def test_a_single_text_is_refused_by_a_bundle_of_pairs(cli: Cli, pair_bundle: Path) -> None:
    cli("predict", pair_bundle, "good").fails_with(
        "Text 1", "expected a pair of texts", "'good'", hint="--text-pair"
    )


def test_a_pair_is_refused_by_a_bundle_of_single_texts(cli: Cli, light_bundle: Path) -> None:
    cli("predict", light_bundle, "good", "--text-pair", "bad").fails_with(
        "Text 1", "expected a single text"
    )
    cli("predict", light_bundle, "good", "--text-pair-column", "b").fails_with(
        "--text-pair-column", "'b'", "single texts"
    )


@pytest.mark.parametrize("texts", [(), ("good", "bad")])
def test_a_second_text_needs_one_first_text(
    cli: Cli, pair_bundle: Path, texts: tuple[str, ...]
) -> None:
    cli("predict", pair_bundle, *texts, "--text-pair", "good").fails_with(
        "--text-pair: expected one TEXT beside it", f"found {len(texts)}", hint="--file"
    )


# Multi-label


@pytest.fixture(scope="module")
def multi_label_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return task_bundle(tmp_path_factory, MULTI_LABEL, method="full").path


def test_all_labels_that_a_text_is_given_are_told(cli: Cli, multi_label_bundle: Path) -> None:
    texts = [topical(number) for number in range(128, 160)]
    answers = cli("predict", multi_label_bundle, *texts, "--json").json["predictions"]

    lines = cli("predict", multi_label_bundle, *texts).out.splitlines()

    assert {0, 1, 2} <= {len(answer["labels"]) for answer in answers}
    for line, answer in zip(lines, answers, strict=True):
        given, _, after = line.partition(answer["text"][:40])
        rest = after.rpartition("  (")[2]
        told = {label for label, score in answer["scores"].items() if score > 0.5}
        assert set(answer["labels"]) == told
        assert {topic for topic in TOPICS if topic in given} == told
        assert {topic for topic in TOPICS if topic in rest} == set(TOPICS) - told
        assert ("no label" in given) == (not told)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts.txt", "good\n\n \nbad\n"),
        ("texts.csv", 'text\ngood\n" "\n""\nbad\n'),
        ("texts.jsonl", '{"text": "good"}\n{"text": ""}\n{"text": null}\n{"text": "bad"}\n'),
    ],
)
def test_empty_texts_of_a_file_are_named_or_left_out(
    cli: Cli, light_bundle: Path, tmp_path: Path, name: str, content: str
) -> None:
    file = tmp_path / name
    file.write_text(content)

    cli("predict", light_bundle, "--file", file).fails_with(name, "2", hint="--skip-empty")
    done = cli("predict", light_bundle, "--file", file, "--skip-empty", "--json")

    assert [answer["text"] for answer in done.json["predictions"]] == ["good", "bad"]
    assert f"{name}: left out 2 rows with an empty text" in done.err


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["texts.txt", "texts.csv", "texts"])
def test_what_is_no_file_is_refused_unread(
    cli: Cli, light_bundle: Path, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)

    cli("predict", light_bundle, "--file", tmp_path / name).fails_with(name, "expected a file")


@pytest.mark.parametrize(
    "content",
    [b"text;n\r\none;1\r\ntwo, too;2\r\n", b"\xef\xbb\xbf Text \tn\none\t1\ntwo, too\t2\n"],
)
def test_tables_of_spreadsheets_are_read(
    content: bytes, cli: Cli, light_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts.csv").write_bytes(content)

    answer = cli("predict", light_bundle, "--file", tmp_path / "texts.csv", "--json").json

    assert [p["text"] for p in answer["predictions"]] == ["one", "two, too"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts", "one\ntwo\n"),
        ("texts.csv", "text\none\ntwo\n"),
        ("texts.json", '[{"text": "one"}]'),
    ],
)
def test_a_pipe_is_read_as_a_file_is(
    name: str, content: str, cli: Cli, light_bundle: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / name
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(content,))
    writer.start()

    answer = cli("predict", light_bundle, "--file", pipe, "--json").json

    writer.join()
    assert answer["predictions"][0]["text"] == "one"
    assert len(answer["predictions"]) == content.count("one") + content.count("two")


def test_standard_input_has_a_path_as_well(
    light_bundle: Path, edgeadapt_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = edgeadapt_command(
        "predict", str(light_bundle), "--file", "/dev/stdin", "--json", input="one\ntwo\n"
    )

    assert [p["text"] for p in json.loads(done.stdout)["predictions"]] == ["one", "two"]


@pytest.mark.parametrize("name", ["texts.xlsx", "texts.csv.gz", "texts.parquet"])
def test_another_kind_of_table_is_not_classified_line_by_line(
    cli: Cli, light_bundle: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("text\nlabel\n")

    cli("predict", light_bundle, "--file", tmp_path / name).fails_with(name, "expected a .csv")
