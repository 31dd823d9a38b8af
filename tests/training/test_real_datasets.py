"""The benchmark data sets as they come: sizes, labels, texts that occur twice, odd characters.

    EDGEADAPT_DATA=path/to/data python -m pytest -m data

Sizes and numbers of shared texts are those that the sets' own descriptions give.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeadapt.data import count_shared, read_rows, write_csv
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import DataConfig, Recipe
from edgeadapt.training.datasets import load_dataset

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder that holds one folder per data set."""
    if "EDGEADAPT_DATA" not in os.environ:
        pytest.skip("set EDGEADAPT_DATA to the folder of the data sets (docs/results/reproduce.md)")
    return Path(os.environ["EDGEADAPT_DATA"])


@pytest.mark.parametrize(
    ("name", "sizes", "labels", "test_texts_in_train"),
    [
        ("sst2", (6_920, 872, 1_821), 2, 2),
        ("trec", (4_906, 546, 500), 6, 10),
        ("tweet_emotion", (3_257, 374, 1_421), 4, 0),
        ("banking77", (9_000, 1_003, 3_080), 77, 7),
        ("imdb", (20_000, 5_000, 25_000), 2, 93),
    ],
)
def test_a_real_data_set_loads_whole_with_its_own_splits(
    data: Path, name: str, sizes: tuple[int, ...], labels: int, test_texts_in_train: int
) -> None:
    dataset = load_dataset(DataConfig(dataset=str(data / name)))

    assert tuple(map(len, (dataset.train, dataset.validation, dataset.test))) == sizes
    assert len(dataset.label_names) == labels
    assert set(dataset.train.known_labels().tolist()) == set(range(labels))
    assert count_shared(dataset.train, dataset.test) == test_texts_in_train


def test_long_reviews_with_tags_and_control_characters_survive_writing_and_reading(
    data: Path, tmp_path: Path
) -> None:
    texts = [row["text"] for row in read_rows(data / "imdb" / "validation.csv")]
    assert any("<br />" in text for text in texts)
    assert any("\x80" <= character <= "\x9f" for text in texts for character in text)

    write_csv(tmp_path / "again.csv", {"text": texts})

    assert [row["text"] for row in read_rows(tmp_path / "again.csv")] == texts


def test_a_validation_split_made_of_an_imbalanced_set_keeps_the_shares_of_its_77_labels(
    data: Path,
) -> None:
    whole = load_dataset(DataConfig(dataset=str(data / "banking77" / "train.csv"), split_seed=3))

    everything = np.concatenate(
        [s.known_labels() for s in (whole.train, whole.validation, whole.test)]
    )
    assert len(everything) == 9_000
    expected = np.bincount(everything, minlength=77) * 0.1
    found = np.bincount(whole.test.known_labels(), minlength=77)
    assert np.abs(found - expected).max() <= 1
    assert count_shared(whole.train, whole.test) == 0


def test_a_tiny_model_trains_on_six_real_labels(
    data: Path, tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe(epochs=1).updated({"data": {"dataset": str(data / "trec")}}, origin="test")

    run = train(recipe, output=tmp_path / "trec")

    assert run.info.labels == ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")
    assert run.info.data.examples == {"train": 4_906, "validation": 546, "test": 500}
    assert run.info.data.shared == {
        "validation in train": 0,
        "test in train": 10,
        "test in validation": 0,
    }
