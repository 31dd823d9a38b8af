"""The texts in a bundle for compression: read back unchanged, or rejected by name."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeadapt.compress.budget import Reference
from edgeadapt.compress.texts import CompressionTexts
from edgeadapt.errors import IntegrityError, LayoutError, UsageError
from edgeadapt.recipe import Task
from edgeadapt.store.bundle import CALIBRATION_FILE, LOGITS_FILE, VALIDATION_FILE, Bundle
from edgeadapt.text import Text
from tests.store.test_bundle import MANIFEST, write_bundle

LABELS = ("schlecht", "größer", 'with, comma and "quotes"')
TEXTS = ("one", 'two, "2"', "three\nlines\r\nof text", "ﬁne · 文字")
PAIRS = tuple((text, text[::-1]) for text in TEXTS)
SETS = np.array([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]])


def texts(task: Task = Task.SINGLE_LABEL, written: tuple[Text, ...] = TEXTS) -> CompressionTexts:
    generator = np.random.default_rng(0)
    labels = SETS if task is Task.MULTI_LABEL else np.array([0, 2, 1, 2])
    logits = generator.normal(size=(4, 3)).astype(np.float32)
    return CompressionTexts(Reference(written, labels, task, logits), written[:2])


def carried(path: Path, given: CompressionTexts, *, pairs: bool = False) -> Bundle:
    path.mkdir(exist_ok=True)
    given.write(path, LABELS)
    task = given.reference.task
    return write_bundle(path, replace(MANIFEST, labels=LABELS, task=task, pairs=pairs))


def changed(path: Path, bundle: Bundle) -> Bundle:
    """A copy whose manifest has the hashes of files that are changed there."""
    return Bundle.write(path, bundle.manifest)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("written", [TEXTS, PAIRS], ids=["single texts", "pairs"])
def test_texts_labels_and_logits_come_back_bit_by_bit(
    tmp_path: Path, task: Task, written: tuple[Text, ...]
) -> None:
    given = texts(task, written)

    found = CompressionTexts.of(carried(tmp_path / "b", given, pairs=written is PAIRS))

    assert found.reference.texts == given.reference.texts
    assert found.reference.task is task
    assert found.calibration == given.calibration
    np.testing.assert_array_equal(found.reference.labels, given.reference.labels)
    np.testing.assert_array_equal(found.reference.logits, given.reference.logits)
    assert found.reference.logits.dtype == np.float32


def test_labels_of_calibration_texts_are_not_carried(tmp_path: Path) -> None:
    bundle = carried(tmp_path / "b", texts())

    assert (bundle.path / CALIBRATION_FILE).read_text().splitlines()[0] == '"text"'


def test_without_calibration_texts_there_is_no_file_of_them(tmp_path: Path) -> None:
    bundle = carried(tmp_path / "b", replace(texts(), calibration=()))

    assert CALIBRATION_FILE not in bundle.manifest.files
    assert CompressionTexts.of(bundle).calibration == ()


@pytest.mark.parametrize("missing", [(VALIDATION_FILE,), (LOGITS_FILE,), None])
def test_a_bundle_without_them_is_refused_with_the_file_and_what_to_do(
    tmp_path: Path, missing: tuple[str, ...] | None
) -> None:
    bundle = carried(tmp_path / "b", texts())
    missing = missing or (VALIDATION_FILE, LOGITS_FILE)
    for name in missing:
        (bundle.path / name).unlink()

    with pytest.raises(UsageError, match="holds no validation text to judge by") as caught:
        CompressionTexts.of(changed(bundle.path, bundle))

    assert all(name in caught.value.message for name in missing)
    assert "--no-evaluation" in caught.value.hint


@pytest.mark.parametrize("name", [VALIDATION_FILE, LOGITS_FILE, CALIBRATION_FILE])
def test_a_changed_file_is_noticed(tmp_path: Path, name: str) -> None:
    bundle = carried(tmp_path / "b", texts())
    raw = bytearray((bundle.path / name).read_bytes())
    raw[-3] ^= 1
    (bundle.path / name).write_bytes(raw)

    with pytest.raises(IntegrityError, match=name):
        CompressionTexts.of(bundle)


def huge_header(path: Path) -> None:
    np.save(path, np.zeros((4, 3), np.float32))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(4, 3), }" + b" " * 12, b"(4, 3000000000000), }"))


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: np.save(path, np.zeros((3, 3), np.float32)), r"shape \(4, 3\).*\(3, 3\)"),
        (lambda path: np.save(path, np.zeros((4, 2), np.float32)), r"shape \(4, 3\).*\(4, 2\)"),
        (lambda path: np.save(path, np.zeros(12, np.float32)), r"\(12,\)"),
        (lambda path: np.save(path, np.zeros((4, 3), np.float64)), "float32.*float64"),
        (lambda path: np.save(path, np.zeros((4, 3), ">f4")), "float32.*>f4"),
        (lambda path: np.save(path, np.full((4, 3), np.nan, np.float32)), "finite"),
        (lambda path: np.save(path, np.full((4, 3), -np.inf, np.float32)), "finite"),
        (lambda path: path.write_bytes(b""), "no array"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff("), "no array"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x02\x00((" + b"\0" * 99), "no array"),
        (lambda path: path.write_bytes(pickle.dumps([1])), "no array"),
        (huge_header, "no array"),
    ],
)
def test_logits_that_are_not_those_of_the_texts_are_refused(
    tmp_path: Path, write: object, words: str
) -> None:
    bundle = carried(tmp_path / "b", texts())
    write(bundle.path / LOGITS_FILE)  # type: ignore[operator]

    with pytest.raises(LayoutError, match=rf"validation_logits\.npy.*{words}"):
        CompressionTexts.of(changed(bundle.path, bundle))


def test_pickled_logits_are_refused_and_nothing_in_them_runs(tmp_path: Path) -> None:
    bundle, ran = carried(tmp_path / "b", texts()), tmp_path / "ran"

    class Code:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return shutil.copyfile, (__file__, str(ran))

    array = np.empty((4, 3), dtype=object)
    array[:] = Code()
    np.save(bundle.path / LOGITS_FILE, array, allow_pickle=True)

    with pytest.raises(LayoutError, match=r"validation_logits\.npy holds no array of logits"):
        CompressionTexts.of(changed(bundle.path, bundle))
    assert not ran.exists()
