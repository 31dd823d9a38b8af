"""``edgeadapt import``: names of the outputs of the head, and their mapping to labels."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgeadapt.errors import DataError, EdgeAdaptError, IntegrityError, ModelError, UsageError
from edgeadapt.pipeline.convert import convert
from edgeadapt.pipeline.importing import import_adapter
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import DataConfig, Format, ModelConfig, Recipe, Task
from edgeadapt.store.run import Run
from tests.lively import finished_checkpoint
from tests.pipeline.exporting import nothing_is_at
from tests.pipeline.finished import Said, write_data

HEADS = {"bert": ("classifier",), "roberta": ("classifier.dense", "classifier.out_proj")}


def write_lora(folder: Path, base: Path, *, head: bool = False, **config: object) -> Path:
    """Writes a LoRA as PEFT does that changes nothing, with a copy of the base's head if asked."""
    folder.mkdir()
    settings = json.loads((base / "config.json").read_text())
    kind = settings["model_type"]
    tensors = {}
    for layer in range(2):
        at = f"base_model.model.{kind}.encoder.layer.{layer}.attention.self.query"
        tensors[f"{at}.lora_A.weight"] = torch.ones(4, 16)
        tensors[f"{at}.lora_B.weight"] = torch.zeros(16, 4)
    if head:
        for name, tensor in load_file(base / "model.safetensors").items():
            if name.startswith("classifier."):
                tensors[f"base_model.model.{name}"] = tensor
    save_file(tensors, folder / "adapter_model.safetensors")
    options = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(options | config))
    return folder


def imported(
    folder: Path, output: Path, data: Path | None = None, *, said: Said | None = None,
    labels: tuple[str, ...] | None = None, multi_label: bool = False,
) -> Run:  # fmt: skip
    return import_adapter(
        folder,
        model=ModelConfig(id="", max_length=32),
        model_named=False,
        data=DataConfig(dataset=str(data), multi_label=multi_label) if data else None,
        labels=labels,
        output=output,
        progress=said or Said(),
    )


@pytest.mark.parametrize("model_type", HEADS)
@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("listed", [None, ("neg", "pos")])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"id2label": {"1": "neg", "0": "pos"}},
        {"id2label": None},
        {"label2id": {"LABEL_0": 0, "LABEL_1": 1}},
    ],
)
def test_outputs_without_names_have_those_of_the_base_in_its_order(
    model_type: str, head: bool, listed: tuple[str, ...] | None, config: dict[str, object],
    tmp_path: Path,
) -> None:  # fmt: skip
    base = finished_checkpoint(tmp_path / "base", ("pos", "neg"), model_type, **config)
    data = write_data(tmp_path / "data", base, ("pos", "neg"), listed)
    adapter, said = write_lora(tmp_path / "adapter", base, head=head), Said()

    run = imported(adapter, tmp_path / "run", data, said=said)

    assert run.info.labels == ("pos", "neg")
    assert run.info.test.accuracy == run.info.validation.accuracy == 1.0
    assert any("those of the base model" in line for line in said.lines) == head


def test_names_of_the_adapters_own_come_before_those_of_the_base(tmp_path: Path) -> None:
    base = finished_checkpoint(tmp_path / "base", ("pos", "neg"))
    data = write_data(tmp_path / "data", base, ("yes", "no"), None)
    adapter = write_lora(tmp_path / "adapter", base, head=True, id2label={"1": "no", "0": "yes"})

    run = imported(adapter, tmp_path / "run", data)

    assert run.info.labels == ("yes", "no")
    assert run.info.test.accuracy == 1.0


def test_an_adapter_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    base = finished_checkpoint(tmp_path / "base", ("pos", "neg"))
    adapter = write_lora(
        tmp_path / "adapter", base, head=True,
        id2label={"0": "yes", "1": "no"}, label2id={"yes": 1, "no": 0},
    )  # fmt: skip

    with pytest.raises(ModelError, match=r"adapter_config\.json: id2label and label2id contradict"):
        imported(adapter, tmp_path / "run")


def test_data_with_other_labels_than_the_base_is_refused_with_both(tmp_path: Path) -> None:
    base = finished_checkpoint(tmp_path / "base", ("pos", "neg"))
    data = write_data(tmp_path / "data", base, ("spam", "ham"), ("spam", "ham"))
    adapter = write_lora(tmp_path / "adapter", base, head=True)

    with pytest.raises(DataError, match="expected pos, neg, found spam, ham") as caught:
        imported(adapter, tmp_path / "r" / "run", data)
    assert "--labels" in caught.value.hint
    assert nothing_is_at(tmp_path / "r")

    # The adapter has a head of its own: it may have been trained for these.
    run = imported(adapter, tmp_path / "run", data, labels=("spam", "ham"))
    assert run.info.labels == ("spam", "ham")
    assert run.info.test.accuracy == 1.0


def test_a_head_with_another_number_of_outputs_does_not_have_the_bases_names(
    tmp_path: Path,
) -> None:
    three = finished_checkpoint(tmp_path / "three", ("a", "b", "c"))
    base = finished_checkpoint(tmp_path / "base", ("pos", "neg"))
    data = write_data(tmp_path / "data", three, ("x", "y", "z"), ("x", "y", "z"))
    adapter = write_lora(tmp_path / "adapter", three, head=True)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps(config | {"base_model_name_or_path": str(base)})
    )

    run = imported(adapter, tmp_path / "run", data)

    assert run.info.labels == ("x", "y", "z")
    assert imported(adapter, tmp_path / "none").info.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("names", [("neg", "pos"), ("Neg", " pos")])
def test_names_that_differ_in_case_or_spaces_match_and_it_is_said(
    names: tuple[str, str], tmp_path: Path
) -> None:
    base, said = finished_checkpoint(tmp_path / "base", ("Neg", "Pos")), Said()
    data = write_data(tmp_path / "data", base, names, None)

    run = imported(write_lora(tmp_path / "adapter", base), tmp_path / "run", data, said=said)

    assert run.info.labels == ("Neg", "Pos")
    assert run.info.test.accuracy == 1.0
    assert any("case or spaces" in line for line in said.lines)


def test_data_that_lacks_a_label_is_read_by_name(tmp_path: Path) -> None:
    base = finished_checkpoint(tmp_path / "base", ("c", "a", "b"))
    data = write_data(tmp_path / "data", base, ("C", "a", "b"), None)
    for file in data.iterdir():
        rows = [line for line in file.read_text().splitlines() if not line.endswith('"a"')]
        file.write_text("\n".join(rows))

    run = imported(write_lora(tmp_path / "adapter", base), tmp_path / "run", data)

    assert run.info.labels == ("c", "a", "b")
    assert run.info.test.accuracy == 1.0


def test_numbers_in_the_data_are_indices_of_the_outputs_and_it_is_said(tmp_path: Path) -> None:
    base, said = finished_checkpoint(tmp_path / "base", ("pos", "neg")), Said()
    data = write_data(tmp_path / "data", base, ("0", "1"), None)

    run = imported(write_lora(tmp_path / "adapter", base), tmp_path / "run", data, said=said)

    assert run.info.labels == ("pos", "neg")
    assert run.info.test.accuracy == 1.0
    assert any("0 = pos, 1 = neg" in line for line in said.lines)


@pytest.mark.parametrize("head", [False, True])
def test_where_nothing_says_which_output_is_which_the_user_is_asked(
    head: bool, tmp_path: Path
) -> None:
    base = finished_checkpoint(tmp_path / "base", ("LABEL_0", "LABEL_1"))
    data = write_data(tmp_path / "data", base, ("pos", "neg"), None)
    adapter = write_lora(tmp_path / "adapter", base, head=head)

    with pytest.raises(DataError, match="neg, pos") as caught:
        imported(adapter, tmp_path / "r" / "run", data)
    assert "--labels" in caught.value.hint
    assert nothing_is_at(tmp_path / "r")

    run = imported(adapter, tmp_path / "run", data, labels=("pos", "neg"))
    assert (run.info.labels, run.info.test.accuracy) == (("pos", "neg"), 1.0)


@pytest.fixture
def placeholders(tmp_path: Path) -> tuple[Path, Path]:
    """An AdapterHub adapter whose head calls its outputs LABEL_0 and LABEL_1, and its base."""
    base = finished_checkpoint(tmp_path / "base", ("LABEL_0", "LABEL_1"))
    data = write_data(tmp_path / "first", base, ("LABEL_0", "LABEL_1"), ("LABEL_0", "LABEL_1"))
    recipe = Recipe.from_dict(
        {
            "model": {"id": str(base), "max_length": 32},
            "data": {"dataset": str(data)},
            "adapter": {"method": "parallel", "dimension": 4},
            "training": {"epochs": 1, "device": "cpu", "learning_rate": 1e-7},
        },
        origin="test",
    )
    run = train(recipe, output=tmp_path / "first-run")
    assert run.info.test.accuracy == 1.0
    convert(run, tmp_path / "adapter", to=Format.ADAPTERHUB)
    return tmp_path / "adapter", base


@pytest.mark.parametrize("identity", [True, False])
def test_an_adapter_with_placeholders_says_which_is_which_through_labels(
    placeholders: tuple[Path, Path], identity: bool, tmp_path: Path
) -> None:
    adapter, base = placeholders
    if not identity:
        (adapter / "edgeadapt.json").unlink()
    data = write_data(tmp_path / "data", base, ("pos", "neg"), ("neg", "pos"))

    with pytest.raises(DataError, match="expected LABEL_0, LABEL_1, found neg, pos") as caught:
        imported(adapter, tmp_path / "r" / "run", data)
    assert "--labels" in caught.value.hint
    assert nothing_is_at(tmp_path / "r")

    run = imported(adapter, tmp_path / "run", data, labels=("pos", "neg"))
    assert (run.info.labels, run.info.test.accuracy) == (("pos", "neg"), 1.0)
    assert imported(adapter, tmp_path / "none", labels=("pos", "neg")).info.labels == ("pos", "neg")
    again = imported(adapter, tmp_path / "swapped", data, labels=("neg", "pos"))
    assert again.info.test.accuracy == 0.0


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (("neg", "pos"), UsageError),
        (("yes", "no"), UsageError),
        (("a", "b", "c"), UsageError),
    ],
)
def test_labels_that_contradict_names_of_the_heads_own_are_refused(
    labels: tuple[str, ...], error: type[EdgeAdaptError], tmp_path: Path
) -> None:
    base = finished_checkpoint(tmp_path / "base", ("pos", "neg"))
    adapter = write_lora(tmp_path / "adapter", base)

    with pytest.raises(error, match=r"--labels: .*expected pos, neg, found"):
        imported(adapter, tmp_path / "run", labels=labels)

    assert imported(adapter, tmp_path / "run", labels=("pos", "neg")).info.labels == ("pos", "neg")


def test_labels_of_another_number_than_the_outputs_are_refused(tmp_path: Path) -> None:
    base = finished_checkpoint(tmp_path / "base", ("pos", "neg"))
    adapter = write_lora(tmp_path / "adapter", base, head=True)

    with pytest.raises(DataError, match=r"2 outputs.*found 3"):
        imported(adapter, tmp_path / "run", labels=("a", "b", "c"))


def test_a_base_for_sets_of_labels_reads_the_data_as_such_and_it_is_said(tmp_path: Path) -> None:
    base = finished_checkpoint(
        tmp_path / "base", ("pos", "neg"), problem_type="multi_label_classification"
    )
    said, data = Said(), write_data(tmp_path / "data", base, ("pos", "neg"), None)
    adapter = write_lora(tmp_path / "adapter", base)

    run = imported(adapter, tmp_path / "run", data, said=said)

    assert run.info.task is Task.MULTI_LABEL
    assert any("--multi-label" in line for line in said.lines)
    assert imported(adapter, tmp_path / "none").info.task is Task.MULTI_LABEL


def test_data_of_sets_of_labels_does_not_go_with_a_base_for_one(tmp_path: Path) -> None:
    base = finished_checkpoint(
        tmp_path / "base", ("pos", "neg"), problem_type="single_label_classification"
    )
    data = write_data(tmp_path / "data", base, ("pos", "neg"), None)

    with pytest.raises(DataError, match="--multi-label"):
        imported(write_lora(tmp_path / "adapter", base), tmp_path / "run", data, multi_label=True)


@pytest.mark.parametrize("head", [False, True])
def test_regression_is_refused_by_name(head: bool, tmp_path: Path) -> None:
    base = finished_checkpoint(tmp_path / "base", ("score",))

    with pytest.raises(ModelError, match="regression"):
        imported(write_lora(tmp_path / "adapter", base, head=head), tmp_path / "run")


def test_an_identity_with_other_names_than_the_heads_is_refused(
    placeholders: tuple[Path, Path], tmp_path: Path
) -> None:
    adapter, _ = placeholders
    path = adapter / "head_config.json"
    head = json.loads(path.read_text())
    head["config"]["label2id"] = {"pos": 0, "neg": 1}
    path.write_text(json.dumps(head))
    identity = json.loads((adapter / "edgeadapt.json").read_text())
    (adapter / "edgeadapt.json").write_text(json.dumps(identity | {"labels": ["neg", "pos"]}))

    with pytest.raises(IntegrityError, match="one list of labels"):
        imported(adapter, tmp_path / "run")


@pytest.mark.parametrize("head", [False, True])
def test_training_starts_from_an_adapter_with_its_outputs_in_the_order_of_the_data(
    head: bool, tmp_path: Path
) -> None:
    base, said = finished_checkpoint(tmp_path / "base", ("pos", "neg")), Said()
    data = write_data(tmp_path / "data", base, ("pos", "neg"), ("neg", "pos"))
    adapter = write_lora(tmp_path / "adapter", base, head=head)
    recipe = Recipe.from_dict(
        {
            "model": {"id": str(base), "max_length": 32},
            "data": {"dataset": str(data)},
            "adapter": {"start": str(adapter)},
            "training": {"epochs": 1, "device": "cpu", "learning_rate": 1e-7},
        },
        origin="test",
    )

    run = train(recipe, output=tmp_path / "run", progress=said)

    assert (run.info.labels, run.info.test.accuracy) == (("neg", "pos"), 1.0)
    whose = adapter if head else base
    assert [str(whose) in line for line in said.lines if line.startswith("The head of ")] == [True]
