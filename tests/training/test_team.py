"""Several processes compute the same as one process with the whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Recipe
from edgeadapt.store.run import Run
from edgeadapt.training.team import ALONE, Team
from tests.lively import lively_checkpoint

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("texts", [1, 2, 5, 32])
def test_shares_make_up_the_batch_and_weights_its_mean(size: int, texts: int) -> None:
    rows = np.arange(texts)
    team = [Team(rank, size) for rank in range(size)]

    shares = [each.share(rows) for each in team]
    means = [share.mean() if len(share) else 0.0 for share in shares]

    assert sorted(np.concatenate(shares)) == list(rows)
    weighted = [each.weight(rows) * mean for each, mean in zip(team, means, strict=True)]
    assert sum(weighted) / size == pytest.approx(rows.mean())


def test_alone_there_is_nobody_to_ask() -> None:
    model = torch.nn.Linear(2, 2)

    assert ALONE.leads
    assert ALONE.wrap(model, torch.device("cpu")) is model
    assert ALONE.mean(torch.tensor(0.25)) == 0.25
    assert ALONE.largest(3) == 3
    assert ALONE.gathered([1, 2]) == [1, 2]
    assert ALONE.agreed("name") == "name"


@pytest.mark.slow
# Not bitfit or full: a key's bias has no gradient but rounding, of which AdamW makes whole steps.
@pytest.mark.parametrize("method", ["parallel", "lora+layernorm"])
def test_two_processes_over_gloo_give_the_weights_of_one(
    tmp_path: Path, dataset_folder: Path, method: str
) -> None:
    checkpoint = lively_checkpoint(tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (checkpoint / "config.json").write_text(json.dumps(config))
    recipe = Recipe.from_dict(
        {
            "model": {"id": str(checkpoint), "max_length": 32},
            "data": {"dataset": str(dataset_folder)},
            "adapter": {"method": method, "dimension": 4},
            # Batches of odd size, the last of one text: shares differ, and one is empty.
            "training": {
                **{"epochs": 2, "batch_size": 9, "device": "cpu", "threads": 1},
                "precision": "fp32",
            },
        },
        origin="test",
    )
    one = train(recipe, output=tmp_path / "one")

    done = launch(2, one.path / "run.json", "two", cwd=tmp_path)

    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["run"] == "artifacts/runs/two"
    two = Run.open(tmp_path / "artifacts" / "runs" / "two")
    for name in ("adapter", "head"):
        file = f"weights/{name}.safetensors"
        expected, found = load_file(one.path / file), load_file(two.path / file)
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, rtol=0, atol=1e-5, msg=key)
    assert two.info.validation.accuracy == one.info.validation.accuracy
    assert two.info.frozen_sha256 == one.info.frozen_sha256
    assert (one.info.machine.processes, two.info.machine.processes) == (1, 2)


def launch(
    processes: int, recipe: Path, name: str, *, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Runs ``edgeadapt train`` in several processes; without a GPU they talk over gloo."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes"),
            *(str(processes), "--num_machines", "1", "--mixed_precision", "no"),
            *("--dynamo_backend", "no", "--main_process_port", "0", "-m", "edgeadapt", "train"),
            *("--recipe", str(recipe), "--output", name, "--json"),
        ],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip
