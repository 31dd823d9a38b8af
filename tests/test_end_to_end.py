"""The main job on the real pretrained encoder and real text, from training to a benchmark."""

from pathlib import Path

import numpy as np
import pytest

import edgeadapt
from edgeadapt.benchmark.rows import rows
from edgeadapt.data import write_csv
from edgeadapt.pipeline.bench import bench
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Recipe
from tests.benchmark.handmade import tiny_plan
from tests.store.handmade import step_of

TINY_PLAN = tiny_plan(lengths=(8, 16), repeats=3, texts=20, timed=20)


@pytest.fixture(scope="module")
def small_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the embedded reviews: plain ones, which a few steps are enough for."""
    from importlib.resources import files

    from edgeadapt.data import read_rows

    folder = tmp_path_factory.mktemp("reviews")
    for split, count in (("train", 192), ("validation", 66), ("test", 60)):
        found = read_rows(Path(str(files("edgeadapt") / "demo" / f"{split}.csv")))
        plain = [row for row in found if row["kind"] == "plain"][:count]
        write_csv(
            folder / f"{split}.csv",
            {column: [row[column] for row in plain] for column in ("text", "label")},
        )
    return folder


@pytest.mark.slow
def test_real_weights_are_trained_merged_quantized_and_measured(
    small_reviews: Path, in_empty_folder: Path
) -> None:
    recipe = Recipe.load("demo").updated(
        {
            "data": {"dataset": str(small_reviews)},
            "training": {"epochs": 3, "batch_size": 16, "learning_rate": 1e-3},
        },
        origin="test",
    )

    run = train(recipe)
    bundle = export(run, options=ExportOptions(quantize=Quantization(), max_drop=0.05))
    record, path = bench([bundle], plan=TINY_PLAN, threads=1)

    # Plain reviews are easy: an untrained model is at a half.
    assert run.info.test.accuracy > 0.75
    assert run.info.frozen_sha256.before == run.info.frozen_sha256.after
    assert run.info.trainable_parameters / run.info.total_parameters < 0.04
    assert bundle.manifest.gates.merge.parity.max_difference <= 1e-5
    assert bundle.manifest.gates.onnx.max_difference <= 1e-4
    # On a busy machine, embeddings that stay in fp32 may seem the fastest.
    bits = step_of(bundle, "quantize").taken.settings["embedding_bits"]
    share = 0.3 if bits == 8 else 0.7
    assert bundle.variant_bytes("int8") < share * bundle.variant_bytes("fp32")
    table = {row.variant: row for row in rows(record)}
    assert table["fp32"].accuracy is not None
    assert table["int8"].agreement is not None
    assert table["int8"].agreement >= 0.9
    assert inspect(path.name)["kind"] == "record"
    classifier = edgeadapt.load(bundle.path)
    good, bad = classifier.predict(["A wonderful, moving film.", "Awful. The food was cold."])
    assert (good.label, bad.label) == ("positive", "negative")
    assert np.isclose(sum(good.scores.values()), 1)
