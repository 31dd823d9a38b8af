"""Makes ``tests/assets/samples``: what this version of edgeadapt leaves on disk, one of each kind.

    python -m tests.assets.make_samples

Samples are committed and never made again: a test opens those of every format version, so that
what users keep stays readable. Run this where a format version has risen; it writes what is not
there yet. ``tests/assets/tiny_bundle`` is the sample of a bundle of version 1, and what the check
of the bare install, which cannot make one, predicts with.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgeadapt.data.text_file import TextFile
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.pretrain import pretrain
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Recipe
from edgeadapt.store.provenance import Backbone
from edgeadapt.store.run import Run
from edgeadapt.training.checkpoints import Begun, Checkpoints
from tests.benchmark.handmade import make_record, make_sample
from tests.conftest import make_checkpoint, review, write_dataset
from tests.store.manifests import edit_json

SAMPLES = Path(__file__).parent / "samples"


def main() -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        recipe = Recipe.from_dict(
            {
                "model": {"id": str(make_checkpoint(root / "checkpoint")), "max_length": 32},
                "data": {"dataset": str(write_dataset(root / "data"))},
                "adapter": {"method": "full"},  # random weights have nothing to adapt
                "training": {"epochs": 20, "batch_size": 8, "learning_rate": 5e-3, "device": "cpu"},
            },
            origin="samples",
        )
        run = train(recipe, output=root / "run")
        bundle = export(run, options=ExportOptions(quantize=Quantization()), output=root / "bundle")
        run = without_folder(root, run)
        make_record(make_sample()).write(root / "record.json")
        with Checkpoints(root / "state", every=0).kept(
            Begun("edgeadapt train", run.info.recipe, {"data": "0" * 64}),
            anew=True,
        ):
            keep(root / "state" / "about.json", "about", suffix=".json")
        texts = root / "texts.csv"
        texts.write_text("text\n" + "".join(f"{review(number)[0]}\n" for number in range(64)))
        described = pretrain(TextFile(texts), recipe, output=root / "new").path / "pretraining.json"
        edit_json(described, lambda value: value.update(without_paths(root, value)))
        keep(described, "pretraining", suffix=".json")
        keep(root / "record.json", "record", suffix=".json")
        keep(run.path, "run", manifest="run.json")
        keep(bundle.path, "bundle", manifest="manifest.json")


def without_folder(root: Path, run: Run) -> Run:
    """Writes a run again, so that it does not name the folder that it was made in."""
    tables, backbone = (
        without_paths(root, run.info.recipe.to_dict()),
        without_paths(root, asdict(run.info.backbone)),
    )
    recipe = Recipe.from_dict(tables, origin="samples")
    return Run.write(run.path, replace(run.info, recipe=recipe, backbone=Backbone(**backbone)))


def without_paths(root: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(value).replace(f"{root}/", "")))


def keep(made: Path, kind: str, *, manifest: str = "", suffix: str = "") -> None:
    """Moves a sample to its place, named after its version, where there is none yet."""
    version = json.loads((made / manifest).read_text())["format_version"]
    place = SAMPLES / f"{kind}-{version}{suffix}"
    if not place.exists():
        SAMPLES.mkdir(exist_ok=True)
        shutil.move(made, place)
        print(place)


if __name__ == "__main__":
    main()
