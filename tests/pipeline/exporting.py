"""Shared code of the export tests."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

from edgeadapt.pipeline.export import ExportOptions, Quantization
from edgeadapt.recipe import Exporter
from edgeadapt.store.run import Run

PLAIN = ExportOptions(exporter=Exporter.TORCH)
WITH_INT8 = ExportOptions(exporter=Exporter.TORCH, quantize=Quantization())
WITHOUT_LIMIT = replace(WITH_INT8, quantize=Quantization(), max_drop=1.0)
METHODS = ("parallel", "sequential", "houlsby")


def without_file(run: Run, name: str, path: Path) -> Run:
    """A copy of a run that never kept one of its files, as those of earlier versions did not."""
    shutil.copytree(run.path, path)
    (path / name).unlink()
    return Run.write(path, run.info)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def texts_of(path: Path) -> list[str]:
    return [row["text"] for row in read_csv(path)]


def nothing_is_at(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
