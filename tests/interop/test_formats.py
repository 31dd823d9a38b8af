"""Common behaviour of all adapter formats: files, identities, layers, detection."""

import ast
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from edgeadapt import interop as formats
from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import (
    EdgeAdaptError,
    FormatVersionError,
    IntegrityError,
    LayoutError,
    MissingError,
    ModelError,
)
from edgeadapt.interop import (
    FORMATS,
    ForeignAdapter,
    Format,
    Identity,
    check_identity,
    detect,
)
from edgeadapt.interop.files import read_tensors
from edgeadapt.interop.layers import (
    chosen_layers,
    hidden_size,
    layer_numbers,
    stored_layers,
)
from edgeadapt.recipe import AdapterConfig, Task
from tests.interop.foreign import (
    IDENTITY,
    LABELS,
    answers,
    at_hand,
    attached,
    edit,
    random_adapter,
    same_adapters,
)
from tests.models.tiny import make_model

CONFIGS = {
    Format.ADAPTERHUB: AdapterConfig(method="sequential", dimension=4, activation="relu"),
    Format.PEFT: AdapterConfig(method="lora", rank=2),
}
WEIGHTS = {
    Format.ADAPTERHUB: ("adapter.safetensors", "pytorch_adapter.bin"),
    Format.PEFT: ("adapter_model.safetensors", "adapter_model.bin"),
}
each_format = pytest.mark.parametrize("kind", Format)


def written(kind: Format, folder: Path, **more: Any) -> Path:
    """An adapter in a format, without a head."""
    adapter, _ = random_adapter("bert", CONFIGS[kind], head=False, **more)
    FORMATS[kind].write(folder / "a", adapter, **at_hand(make_model("bert")))
    return folder / "a"


def read(kind: Format, folder: Path) -> ForeignAdapter:
    return FORMATS[kind].read(folder, **at_hand(make_model("bert")))


def replace_weights(kind: Format, folder: Path, content: bytes) -> Path:
    """Leaves a .bin file of the given content and nothing beside it."""
    safe, pickled = WEIGHTS[kind]
    (folder / safe).unlink(missing_ok=True)
    (folder / pickled).write_bytes(content)
    return folder / pickled


def tensors_of(kind: Format, folder: Path) -> dict[str, Tensor]:
    safe, pickled = WEIGHTS[kind]
    return read_tensors(folder, safe=safe, pickled=pickled)[1]


def imported(path: Path) -> set[str]:
    """The top-level packages that a file of Python imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@each_format
def test_the_table_has_every_format_and_each_is_detected(kind: Format, tmp_path: Path) -> None:
    assert set(FORMATS) == set(Format)
    assert detect(written(kind, tmp_path)) is kind


def test_the_libraries_of_the_formats_are_not_needed() -> None:
    files = sorted(Path(formats.__file__).parent.glob("*.py"))

    packages = set().union(*map(imported, files))

    assert len(files) > 5
    assert "torch" in packages
    assert not packages & {"adapters", "peft"}


@each_format
def test_a_pickle_with_code_is_refused_and_not_run(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    trap = tmp_path / "ran"
    for content in ({"a": Malicious(trap)}, Malicious(trap)):
        torch.save(content, tmp_path / "evil.bin")
        zipped = (tmp_path / "evil.bin").read_bytes()
        for attack in (zipped, pickle.dumps(content)):
            replace_weights(kind, folder, attack)

            with pytest.raises(ModelError, match="No code was run"):
                read(kind, folder)

            assert not trap.exists()
    with (tmp_path / "evil.bin").open("rb"):
        torch.load(tmp_path / "evil.bin", weights_only=False)
    assert trap.exists()  # so the trap works


@each_format
def test_the_error_names_the_code(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    torch.save({"a": Malicious(tmp_path / "ran")}, tmp_path / "evil.bin")
    replace_weights(kind, folder, (tmp_path / "evil.bin").read_bytes())

    with pytest.raises(ModelError, match=r"\(found \w+\.mkdir\)"):
        read(kind, folder)


@each_format
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage" * 99, b"\x80\x02}q\x00."])
def test_a_damaged_bin_file_is_an_error_that_names_it(
    kind: Format, content: bytes, tmp_path: Path
) -> None:
    folder = written(kind, tmp_path)
    file = replace_weights(kind, folder, content)

    with pytest.raises(ModelError, match=str(file)):
        read(kind, folder)


@each_format
def test_every_truncation_of_a_bin_file_is_an_error(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    torch.save(tensors_of(kind, folder), tmp_path / "whole.bin")
    content = (tmp_path / "whole.bin").read_bytes()
    for length in range(0, len(content) - 1, len(content) // 20):
        replace_weights(kind, folder, content[:length])

        with pytest.raises(ModelError):
            read(kind, folder)


@each_format
@pytest.mark.parametrize("odd", [{"x": 1}, {"x": "text"}, {1: torch.ones(2)}, [torch.ones(2)], 7])
def test_something_else_than_a_table_of_tensors_is_refused(
    kind: Format, odd: object, tmp_path: Path
) -> None:
    folder = written(kind, tmp_path)
    torch.save(odd, tmp_path / "odd.bin")
    replace_weights(kind, folder, (tmp_path / "odd.bin").read_bytes())

    with pytest.raises(ModelError, match="expected a"):
        read(kind, folder)


@each_format
@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (torch.ones(4, 16, dtype=torch.int64), "floating numbers, found torch.int64"),
        (torch.ones(4, 16).to_sparse(), "floating numbers"),
        (torch.full((4, 16), float("nan")), "finite numbers"),
        (torch.full((4, 16), float("inf")), "finite numbers"),
    ],
    ids=["integers", "sparse", "nan", "inf"],
)
def test_tensors_of_other_kinds_are_refused(
    kind: Format, odd: Tensor, message: str, tmp_path: Path
) -> None:
    folder = written(kind, tmp_path)
    tensors = tensors_of(kind, folder)
    torch.save({**tensors, next(iter(tensors)): odd}, tmp_path / "odd.bin")
    replace_weights(kind, folder, (tmp_path / "odd.bin").read_bytes())

    with pytest.raises(ModelError, match=message):
        read(kind, folder)


@each_format
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_fp32(kind: Format, dtype: torch.dtype, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    tensors = tensors_of(kind, folder)
    torch.save({name: t.to(dtype) for name, t in tensors.items()}, tmp_path / "half.bin")
    replace_weights(kind, folder, (tmp_path / "half.bin").read_bytes())

    adapter = read(kind, folder)

    assert {tensor.dtype for tensor in adapter.tensors.values()} == {torch.float32}


@each_format
def test_safetensors_is_preferred_to_a_bin_file(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    before = read(kind, folder)
    safe, pickled = WEIGHTS[kind]
    tensors = tensors_of(kind, folder)
    save_file(tensors, folder / safe)
    torch.save({name: 0 * tensor for name, tensor in tensors.items()}, folder / pickled)

    assert same_adapters(read(kind, folder), before)


@each_format
def test_a_damaged_safetensors_file_is_an_error_that_names_it(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    (folder / WEIGHTS[kind][0]).write_bytes(b"\xff" * 64)

    with pytest.raises(ModelError, match=f"{WEIGHTS[kind][0]} cannot be read"):
        read(kind, folder)


@each_format
def test_missing_weights_are_an_error_that_names_both_files(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    for name in WEIGHTS[kind]:
        (folder / name).unlink(missing_ok=True)

    with pytest.raises(MissingError, match=" or ".join(WEIGHTS[kind])):
        read(kind, folder)


@each_format
@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "\x00"])
def test_a_damaged_configuration_is_an_error_that_names_it(
    kind: Format, content: str, tmp_path: Path
) -> None:
    folder = written(kind, tmp_path)
    (folder / "adapter_config.json").write_text(content)

    for act in (lambda: read(kind, folder), lambda: detect(folder)):
        with pytest.raises(LayoutError, match=r"adapter_config\.json"):
            act()


@each_format
def test_a_missing_configuration_is_an_error_that_names_it(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)
    (folder / "adapter_config.json").unlink()

    for act in (lambda: read(kind, folder), lambda: detect(folder)):
        with pytest.raises(MissingError, match=r"adapter_config\.json does not exist"):
            act()


@each_format
def test_no_value_of_an_option_is_more_than_an_expected_failure(
    kind: Format, tmp_path: Path
) -> None:
    adapter, _ = random_adapter("bert", CONFIGS[kind], identity=IDENTITY)
    folder, hand = tmp_path / "a", at_hand(make_model("bert"))
    FORMATS[kind].write(folder, adapter, **hand)
    odd = (None, True, -1, 1e300, 10**400, float("nan"), "", "x", [1], {"a": [1]})
    messages = []
    for path in sorted(folder.glob("*.json")):
        text = path.read_text()
        values = json.loads(text)
        tables = [values, values.get("config") or {}]
        cases = [(table, key, value) for table in tables for key in table for value in odd]
        for table, key, value in cases:
            before, table[key] = table[key], value
            path.write_text(json.dumps(values))
            try:
                FORMATS[detect(folder)].read(folder, **hand)
            except EdgeAdaptError as error:
                messages.append(error.message)
            table[key] = before
        path.write_text(text)
    assert len(messages) > 100
    assert all(str(folder) in message for message in messages)


@pytest.mark.parametrize(
    ("name", "what"),
    [("adapter_fusion_config.json", "AdapterFusion"), ("adapter_setup.json", "composition")],
)
def test_several_adapters_in_one_folder_are_refused_by_name(
    name: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("{}")

    with pytest.raises(ModelError, match=what):
        detect(tmp_path)


def test_a_configuration_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"vocab_size": 5}')

    with pytest.raises(ModelError, match=r"adapterhub or peft, found neither .*vocab_size"):
        detect(tmp_path)


@each_format
def test_the_identity_travels_with_the_adapter(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path, identity=IDENTITY)

    adapter = read(kind, folder)

    assert adapter.identity == IDENTITY
    assert adapter.labels == LABELS


@each_format
def test_labels_alone_are_an_identity_too(kind: Format, tmp_path: Path) -> None:
    adapter, _ = random_adapter("bert", CONFIGS[kind])
    FORMATS[kind].write(tmp_path / "a", adapter, **at_hand(make_model("bert")))

    assert read(kind, tmp_path / "a").identity == Identity(labels=LABELS)


@each_format
def test_labels_that_contradict_the_identity_are_not_written(kind: Format, tmp_path: Path) -> None:
    adapter, _ = random_adapter("bert", CONFIGS[kind], identity=Identity(labels=("no", "yes")))

    with pytest.raises(IntegrityError, match="one list of labels"):
        FORMATS[kind].write(tmp_path / "a", adapter, **at_hand(make_model("bert")))


@each_format
def test_without_an_identity_there_is_none(kind: Format, tmp_path: Path) -> None:
    folder = written(kind, tmp_path)

    assert not (folder / "edgeadapt.json").exists()
    assert read(kind, folder).identity is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", ("positive", "negative")),
        ("task", Task.MULTI_LABEL),
        ("pairs", True),
        ("tokenizer_sha256", "0" * 64),
        ("backbone_sha256", "0" * 64),
        ("backbone_config_sha256", "0" * 64),
    ],
)
def test_another_identity_is_an_error_that_says_what_was_expected_and_found(
    name: str, value: Any
) -> None:
    other = Identity(**{**vars(IDENTITY), name: value})

    with pytest.raises(IntegrityError) as caught:
        check_identity(IDENTITY, other, where="a/folder")

    shown = ", ".join(value) if isinstance(value, tuple) else value
    assert f"a/folder belongs to another model: {name}: expected " in caught.value.message
    assert f"found {shown}" in caught.value.message
    assert "tiny/bert" in caught.value.hint


def test_what_is_unknown_and_where_the_backbone_lies_are_not_compared() -> None:
    check_identity(IDENTITY, IDENTITY, where="here")
    check_identity(IDENTITY, Identity(base_model="/elsewhere"), where="here")
    check_identity(Identity(), IDENTITY, where="here")


def test_a_newer_identity_is_refused(tmp_path: Path) -> None:
    IDENTITY.save(tmp_path)
    edit(tmp_path / "edgeadapt.json", format_version=2)

    with pytest.raises(FormatVersionError):
        Identity.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": "text"},
        {"labels": [1]},
        {"task": "both"},
        {"pairs": "yes"},
        {"backbone_layers": 0},
        {"backbone_layers": True},
        {"tokenizer_sha256": 5},
        {"unknown": "x"},
    ],
)
def test_a_damaged_identity_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    IDENTITY.save(tmp_path)
    edit(tmp_path / "edgeadapt.json", **change)

    with pytest.raises(LayoutError, match=r"edgeadapt\.json"):
        Identity.load(tmp_path)


def test_an_adapter_is_not_copied_into_a_classifier_that_it_does_not_fit() -> None:
    adapter, _ = random_adapter("bert", AdapterConfig(method="sequential", dimension=4))
    for config in (
        AdapterConfig(method="sequential", dimension=5),
        AdapterConfig(method="houlsby", dimension=4),
        AdapterConfig(method="sequential", dimension=4, layers="0"),
    ):
        classifier = attached(make_model("bert"), config)
        before = {n: p.clone() for n, p in classifier.trained().items()}

        with pytest.raises(ModelError, match="does not fit this classifier"):
            adapter.copy_to(classifier.adapter_parameters(), classifier.backbone.head)

        assert all(torch.equal(before[n], p) for n, p in classifier.trained().items())


def test_a_partial_head_leaves_the_rest_of_it() -> None:
    whole, _ = random_adapter("bert", AdapterConfig(method="sequential", dimension=4))
    part = {name: tensor for name, tensor in whole.head.items() if "pooler" not in name}
    adapter = ForeignAdapter(whole.config, whole.tensors, head=part)
    classifier = attached(make_model("bert"), adapter.config)
    pooler = classifier.backbone.head["bert.pooler.dense.weight"].clone()

    adapter.copy_to(classifier.adapter_parameters(), classifier.backbone.head)

    assert torch.equal(classifier.backbone.head["bert.pooler.dense.weight"], pooler)
    assert torch.equal(classifier.backbone.head["classifier.bias"], part["classifier.bias"])
    assert answers(make_model("bert"), adapter).shape == (4, 2)


@pytest.mark.parametrize(
    ("numbers", "depth", "chosen"),
    [
        ((0, 1, 2), 3, None),
        ((0,), 1, None),
        ((0, 2, 3, 4), 6, "0,2-4"),
        ((5,), 6, "5"),
        ((0, 1), 6, "0-1"),
        ((1, 3, 5), 6, "1,3,5"),
    ],
)
def test_layers_are_named_by_numbers_and_ranges(
    numbers: tuple[int, ...], depth: int, chosen: str | None
) -> None:
    assert chosen_layers(reversed(numbers), depth) == chosen
    assert layer_numbers(chosen, depth) == numbers


def test_a_layer_beyond_the_last_is_refused() -> None:
    with pytest.raises(ModelError, match="expected numbers from 0 to 5"):
        layer_numbers("4-6", 6)


def test_layers_that_share_weights_are_counted_by_group() -> None:
    albert = backbone_spec("albert")

    assert stored_layers(albert, {"num_hidden_layers": 4}) == (0, 0, 0, 0)
    assert stored_layers(albert, {"num_hidden_layers": 4, "num_hidden_groups": 2}) == (0, 0, 1, 1)
    assert stored_layers(backbone_spec("bert"), {"num_hidden_layers": 3}) == (0, 1, 2)


def test_a_setting_that_config_json_lacks_is_an_error_that_names_it() -> None:
    with pytest.raises(ModelError, match="no hidden_size or dim"):
        hidden_size({})
