"""Makes ``tests/assets/tiny_bundle``: what the check of the bare install predicts with.

    python -m tests.assets.make_tiny_bundle

The bundle is committed because the bare install cannot make one: it has no torch.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from edgeadapt.config import Recipe
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.train import train
from tests.conftest import make_checkpoint, write_dataset

TARGET = Path(__file__).parent / "tiny_bundle"


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
            origin="tiny bundle",
        )
        run = train(recipe, output=root / "run")
        export(run, options=ExportOptions(quantize=Quantization()), output=TARGET, force=True)
        print(run.info.test)


if __name__ == "__main__":
    main()
