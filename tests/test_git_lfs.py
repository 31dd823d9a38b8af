"""A git-lfs pointer in place of any file is reported as such."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeadapt.data import read_labels, read_rows
from edgeadapt.data.text_file import TextFile
from edgeadapt.errors import IntegrityError
from edgeadapt.interop.files import read_tensors
from edgeadapt.parsing import check_fetched
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.pipeline.predict import read_texts
from edgeadapt.recipe import DataConfig
from edgeadapt.runtime.classifier import load
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from edgeadapt.training.datasets import load_dataset

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"

READERS: dict[str, Callable[[Path], object]] = {
    "train.csv": read_rows,
    "train.jsonl": read_rows,
    "labels.json": read_labels,
    "train.parquet": lambda file: load_dataset(DataConfig(dataset=str(file))),
    "texts.txt": lambda file: read_texts(file, text_column="text"),
    "more.txt": lambda file: TextFile(file).read(),
    "adapter_model.safetensors": lambda file: read_tensors(
        file.parent, safe=file.name, pickled="x.bin"
    ),
    "adapter_model.bin": lambda file: read_tensors(file.parent, safe="x", pickled=file.name),
    "record.json": lambda file: inspect(str(file)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pointer_is_named_by_everything_that_reads(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(POINTER)

    with pytest.raises(IntegrityError, match=f"{name} is a git-lfs pointer") as caught:
        READERS[name](file)
    assert "git lfs pull" in caught.value.hint


@pytest.mark.parametrize("name", ["onnx/model.onnx", "tokenizer.json", "manifest.json"])
def test_a_pointer_in_a_bundle_is_named(tiny_bundle: Bundle, tmp_path: Path, name: str) -> None:
    bundle = Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))
    (bundle / name).write_bytes(POINTER)

    for opens in (lambda: load(bundle, variant="fp32"), lambda: inspect(str(bundle))):
        with pytest.raises(IntegrityError, match=f"{name} is a git-lfs pointer"):
            opens()


@pytest.mark.parametrize("name", ["weights/adapter.safetensors", "validation.csv", "run.json"])
def test_a_pointer_in_a_run_is_named(tiny_run: Run, tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    (run / name).write_bytes(POINTER)

    with pytest.raises(IntegrityError, match=f"{name} is a git-lfs pointer"):
        inspect(str(run))


def test_a_text_about_git_lfs_is_no_pointer(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("the version https://git-lfs.github.com/spec/v1 is good\n")

    assert read_texts(file, text_column="text") == [file.read_text().strip()]


def test_what_comes_out_of_a_pipe_is_not_used_up() -> None:
    reads, writes = os.pipe()
    os.write(writes, b"the film was good\n")
    os.close(writes)
    try:
        check_fetched(Path(f"/dev/fd/{reads}"))
        assert os.read(reads, 99) == b"the film was good\n"
    finally:
        os.close(reads)


def test_a_file_that_is_not_there_is_no_pointer(tmp_path: Path) -> None:
    check_fetched(tmp_path / "nothing")
