"""Weight files: invalid ones are rejected, valid ones accepted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from edgeadapt.errors import IntegrityError, ModelError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.weights import check_weight_files, weight_files
from edgeadapt.recipe import AdapterConfig, ModelConfig
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import LABELS, logits

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db\n"
    "size 90868376\n"
)
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
FFN = "encoder.layer.1.output.dense.weight"


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A tiny BERT that a test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def build(folder: Path, *, depth: int | None = None) -> AdaptedClassifier:
    torch.manual_seed(0)
    classifier = AdaptedClassifier.build(
        find_model(ModelConfig(id=str(folder))), LABELS, AdapterConfig(method="head"), depth=depth
    )
    classifier.model.eval()
    return classifier


def write(folder: Path, changes: dict[str, Tensor], *, pickled: bool = False) -> Path:
    """Changes tensors of a checkpoint."""
    tensors = {**load_file(folder / SAFE), **changes}
    if pickled:
        (folder / SAFE).unlink()
        torch.save(tensors, folder / PICKLED)
    else:
        save_file(tensors, folder / SAFE, metadata={"format": "pt"})
    return folder


def shard(folder: Path) -> Path:
    """Splits a checkpoint in two, with an index; returns the index."""
    tensors = load_file(folder / SAFE)
    (folder / SAFE).unlink()
    where = {n: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(tensors)}
    for file in set(where.values()):
        part = {name: tensor for name, tensor in tensors.items() if where[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    index = folder / f"{SAFE}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return index


@pytest.mark.parametrize(
    "name", [SAFE, "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
)
def test_a_git_lfs_pointer_is_named_when_the_model_is_looked_for(folder: Path, name: str) -> None:
    (folder / name).write_text(POINTER)

    with pytest.raises(
        IntegrityError, match=rf"{name} is a git-lfs pointer of \d+ bytes"
    ) as caught:
        find_model(ModelConfig(id=str(folder)))
    assert "git lfs pull" in caught.value.hint


def test_a_git_lfs_pointer_in_place_of_pickled_weights_is_named(folder: Path) -> None:
    (folder / SAFE).unlink()
    (folder / PICKLED).write_text(POINTER)

    with pytest.raises(IntegrityError, match="bin is a git-lfs pointer"):
        build(folder)


def test_a_git_lfs_pointer_in_place_of_a_shard_is_named(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").write_text(POINTER)

    with pytest.raises(IntegrityError, match=r"00002-of-00002\.safetensors is a git-lfs pointer"):
        build(folder)


def test_pointers_of_files_that_are_not_read_do_not_matter(folder: Path) -> None:
    for name in (PICKLED, "tf_model.h5", "README.md"):
        (folder / name).write_text(POINTER)

    assert logits(build(folder).model).shape == (4, 2)


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int64, torch.float8_e4m3fn])
def test_packed_weights_are_refused_by_name_and_type(
    folder: Path, kind: torch.dtype, pickled: bool
) -> None:
    write(folder, {FFN: torch.ones(16, 24).to(kind)}, pickled=pickled)

    with pytest.raises(ModelError, match=rf"{FFN}: expected floating weights .*, found ") as caught:
        build(folder)
    assert str(folder) in caught.value.message


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_type_is_read_as_fp32(
    folder: Path, checkpoint: Path, kind: torch.dtype, pickled: bool
) -> None:
    whole = load_file(folder / SAFE)
    write(folder, {name: tensor.to(kind) for name, tensor in whole.items()}, pickled=pickled)

    found = build(folder).model

    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(found), logits(build(checkpoint).model), rtol=0, atol=5e-2)


@pytest.mark.parametrize("pickled", [False, True])
def test_saved_position_numbers_are_no_weights(folder: Path, pickled: bool) -> None:
    write(folder, {"embeddings.position_ids": torch.arange(40)[None]}, pickled=pickled)

    assert logits(build(folder).model).shape == (4, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(folder: Path, value: float) -> None:
    weight = load_file(folder / SAFE)[FFN]
    weight[3, 5] = value
    write(folder, {FFN: weight})

    with pytest.raises(ModelError, match=rf"{FFN}: expected finite weights, found NaN or inf"):
        build(folder)


@pytest.mark.parametrize("size", [0, 4, 100, 5_000])
def test_weights_that_break_off_are_refused(folder: Path, size: int) -> None:
    file = folder / SAFE
    file.write_bytes(file.read_bytes()[:size])

    with pytest.raises(ModelError, match=r"model\.safetensors cannot be loaded"):
        build(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"not a pickle"])
def test_pickled_weights_that_are_damaged_are_refused(folder: Path, content: bytes) -> None:
    (folder / SAFE).unlink()
    (folder / PICKLED).write_bytes(content)

    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        build(folder)


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def test_pickled_weights_that_need_code_are_refused_and_nothing_runs(
    folder: Path, tmp_path: Path
) -> None:
    (folder / SAFE).unlink()
    torch.save({FFN: torch.ones(16, 24), "evil": Evil(tmp_path / "ran")}, folder / PICKLED)

    with pytest.raises(ModelError, match=r"needs code to be run.*No code was run"):
        build(folder)
    assert not (tmp_path / "ran").exists()


def test_a_sharded_checkpoint_is_read(folder: Path, checkpoint: Path) -> None:
    shard(folder)

    assert torch.equal(logits(build(folder).model), logits(build(checkpoint).model))
    assert len(weight_files(folder)) == 2


def test_a_missing_shard_is_named(folder: Path) -> None:
    shard(folder)
    (folder / "model-00001-of-00002.safetensors").unlink()

    with pytest.raises(ModelError, match=r"index\.json names 2 .*missing model-00001-of-00002\.sa"):
        build(folder)


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/passwd", "a/b.safetensors"])
def test_an_index_that_leaves_its_folder_is_refused(folder: Path, name: str) -> None:
    index = shard(folder)
    value = json.loads(index.read_text())
    value["weight_map"][FFN] = name
    index.write_text(json.dumps(value))

    with pytest.raises(ModelError, match=f"found a path outside it: {name}"):
        check_weight_files(folder)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 7}}', '{"weight_map": {}}'],
)
def test_an_index_that_is_none_is_refused(folder: Path, content: str) -> None:
    shard(folder).write_text(content)

    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        check_weight_files(folder)


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "model.onnx"])
def test_weights_of_other_libraries_are_no_weights(folder: Path, name: str) -> None:
    (folder / SAFE).rename(folder / name)

    with pytest.raises(ModelError, match=r"holds no weights: expected model\.safetensors"):
        build(folder)


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize(
    "name",
    [
        "encoder.layer.0.attention.self.distance_embedding.weight",
        "encoder.layer.1.output.adapters.task.adapter_up.weight",
        "encoder.layer.1.mlp.gated_layers.weight",
        "encoder.layer.2.output.dense.weight",
    ],
)
def test_weights_of_layers_that_a_stock_model_has_no_place_for_are_refused(
    folder: Path, prefix: str, name: str
) -> None:
    tensors = load_file(folder / SAFE)
    whole = {prefix + key: tensor for key, tensor in tensors.items()}
    save_file({**whole, prefix + name: torch.ones(3)}, folder / SAFE, metadata={"format": "pt"})

    with pytest.raises(
        ModelError, match=f"1 weights of the checkpoint do not exist in .*: {prefix}{name}"
    ):
        build(folder)


def test_heads_of_other_tasks_are_left_out(folder: Path) -> None:
    write(folder, {"cls.predictions.bias": torch.ones(3), "qa_outputs.weight": torch.ones(2, 16)})

    assert logits(build(folder).model).shape == (4, 2)


def test_layers_that_are_cut_off_may_hold_what_they_like(folder: Path) -> None:
    write(folder, {"encoder.layer.1.extra.weight": torch.ones(3)})

    assert len(build(folder, depth=1).backbone.layers()) == 1


def test_an_activation_that_transformers_lacks_is_refused_before_a_model_is_built(
    folder: Path,
) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "hidden_act": "gelu_of_mine"}))

    with pytest.raises(ModelError, match=r"hidden_act: expected one of .*gelu_new"):
        build(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 1_000),
        ("max_position_embeddings", 10**8),
        ("vocab_size", 10**8),
        ("intermediate_size", 10**8),
        ("hidden_size", 10**6),
        ("type_vocab_size", 10**8),
    ],
)
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
def test_sizes_far_beyond_the_weights_are_refused_before_anything_is_allocated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: int, pickled: bool
) -> None:
    def allocate(*_: object, **__: object) -> None:
        pytest.fail("a model was built")

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", allocate)
    write(folder, {}, pickled=pickled)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))

    with pytest.raises(ModelError, match=f"{key} = {value} asks for about .* expected about the"):
        build(folder)


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
def test_weights_of_another_shape_than_config_json_says_are_reported_with_both(
    folder: Path, pickled: bool
) -> None:
    write(folder, {}, pickled=pickled)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "intermediate_size": 32}))

    with pytest.raises(ModelError, match="6 weights of the encoder are of another shape") as caught:
        build(folder)

    name = "bert.encoder.layer.0.intermediate.dense.bias"
    assert f"{name} (expected [32], found [24])" in caught.value.message
    assert "missing" not in caught.value.message


# Names that a wrapper changed, and tables inside tables


def renamed(folder: Path, rename: Callable[[str], str], *, pickled: bool = False) -> Path:
    """Saves the weights of a checkpoint under other names."""
    tensors = {rename(name): tensor for name, tensor in load_file(folder / SAFE).items()}
    if pickled:
        (folder / SAFE).unlink()
        torch.save(tensors, folder / PICKLED)
    else:
        save_file(tensors, folder / SAFE, metadata={"format": "pt"})
    return folder


def run_python_of(hint: str) -> None:
    """Runs what a hint says to run in Python."""
    exec(hint.split("in Python: ")[1])


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
@pytest.mark.parametrize(
    ("prefix", "shown"),
    [
        ("module.", "'module.' (added by DataParallel)"),
        ("_orig_mod.", "'_orig_mod.' (added by torch.compile)"),
        ("_orig_mod.bert.", "'_orig_mod.' (added by torch.compile)"),
        ("_fsdp_wrapped_module.", "'_fsdp_wrapped_module.' (added by FSDP)"),
        ("module._orig_mod.", "'_orig_mod.' (added by torch.compile), 'module.' (added by Data"),
        ("model.", "'model.'"),
        ("model.bert.", "'model.'"),
        ("model._orig_mod.", "'_orig_mod.' (added by torch.compile)"),
        ("0.auto_model.", "'0.auto_model.'"),
    ],
)
def test_a_prefix_of_all_names_is_named_and_the_hint_takes_it_off(
    folder: Path, checkpoint: Path, prefix: str, shown: str, pickled: bool
) -> None:
    renamed(folder, lambda name: prefix + name, pickled=pickled)

    with pytest.raises(ModelError) as caught:
        build(folder)

    assert f"have the prefix {shown}" in caught.value.message
    assert "expected names like bert.encoder.layer.0.… or encoder.layer.0.…" in caught.value.message
    assert f"found {prefix}" in caught.value.message
    run_python_of(caught.value.hint)
    assert torch.equal(logits(build(folder).model), logits(build(checkpoint).model))


def test_a_wrapper_around_a_layer_is_named_and_the_hint_takes_it_off(
    folder: Path, checkpoint: Path
) -> None:
    renamed(folder, lambda name: name.replace("layer.1.", "layer.1._checkpoint_wrapped_module."))

    with pytest.raises(ModelError, match="added by activation checkpointing") as caught:
        build(folder)

    run_python_of(caught.value.hint)
    assert torch.equal(logits(build(folder).model), logits(build(checkpoint).model))


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_a_prefix_is_found_whatever_the_model_type(
    model_type: str, sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    spec = sources[model_type].spec
    folder = Path(shutil.copytree(sources[model_type].folder, tmp_path / "model"))
    renamed(folder, lambda name: f"net.{spec.encoder}.{name.removeprefix(f'{spec.encoder}.')}")

    with pytest.raises(ModelError, match=r"have the prefix 'net\.'") as caught:
        build(folder)

    run_python_of(caught.value.hint)
    assert logits(build(folder).model).isfinite().all()


def test_weights_of_peft_with_its_modules_are_to_be_merged(folder: Path) -> None:
    renamed(folder, lambda name: f"base_model.model.bert.{name}")

    with pytest.raises(ModelError, match="added by PEFT") as caught:
        build(folder)
    assert "merge_and_unload" in caught.value.hint


def test_weights_of_another_model_type_are_called_that(folder: Path) -> None:
    renamed(folder, lambda name: f"roberta.{name}")

    with pytest.raises(ModelError, match=r"have the prefix 'roberta\.'") as caught:
        build(folder)
    assert "weights of a roberta model" in caught.value.hint


def test_another_model_beside_the_weights_is_left_out(folder: Path, checkpoint: Path) -> None:
    teacher = {f"teacher.module.{n}": t.clone() for n, t in load_file(folder / SAFE).items()}
    write(folder, teacher)

    assert torch.equal(logits(build(folder).model), logits(build(checkpoint).model))


def test_missing_weights_are_reported_with_the_names_that_there_are(folder: Path) -> None:
    renamed(folder, lambda name: name.replace("encoder.layer", "blocks"))

    with pytest.raises(ModelError, match=r"missing: bert\..*hold 39 tensors, such as blocks\.0\."):
        build(folder)


@pytest.mark.parametrize("keys", [("state_dict",), ("model_state_dict",), ("model", "state_dict")])
def test_a_table_inside_a_checkpoint_of_training_is_named_and_the_hint_takes_it_out(
    folder: Path, checkpoint: Path, keys: tuple[str, ...]
) -> None:
    saved: dict[str, object] = dict(load_file(folder / SAFE))
    for key in reversed(keys):
        saved = {key: saved, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}
    (folder / SAFE).unlink()
    torch.save(saved, folder / PICKLED)

    with pytest.raises(ModelError, match="found 39 of them in the nested table ") as caught:
        build(folder)

    assert f"the nested table {''.join(f'[{key!r}]' for key in keys)}:" in caught.value.message
    run_python_of(caught.value.hint)
    assert torch.equal(logits(build(folder).model), logits(build(checkpoint).model))


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
def test_a_file_without_tensors_is_refused(folder: Path, pickled: bool) -> None:
    if pickled:
        (folder / SAFE).unlink()
        torch.save({"epoch": 3}, folder / PICKLED)
    else:
        save_file({}, folder / SAFE)

    with pytest.raises(ModelError, match="hold no tensors"):
        build(folder)


def test_a_key_that_is_no_name_is_refused(folder: Path) -> None:
    tensors = load_file(folder / SAFE)
    (folder / SAFE).unlink()
    torch.save({**tensors, 7: torch.ones(3)}, folder / PICKLED)

    with pytest.raises(ModelError, match="expected tensors by their names, found the key 7"):
        build(folder)


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickle"])
def test_a_single_whole_number_beside_the_weights_is_no_packed_weight(
    folder: Path, pickled: bool
) -> None:
    write(folder, {"n_averaged": torch.tensor(3)}, pickled=pickled)

    assert logits(build(folder).model).shape == (4, 2)


@pytest.mark.parametrize(
    "name", ["model.fp16.safetensors", "weights.pt", "model-00001-of-00001.bin"]
)
def test_weights_under_another_name_are_named(folder: Path, name: str) -> None:
    (folder / SAFE).rename(folder / name)

    with pytest.raises(ModelError, match=f"holds no weights: expected .* found {name}"):
        build(folder)


# Sizes that few model types have


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("albert", "inner_group_num", 1_000),
        ("albert", "num_hidden_groups", 1_000),
        ("albert", "embedding_size", 10**9),
        ("electra", "embedding_size", 10**9),
        ("deberta-v2", "conv_kernel_size", 10**8),
        ("deberta-v2", "attention_head_size", 10**8),
        ("deberta-v2", "pooler_hidden_size", 10**6),
        ("deberta-v2", "max_relative_positions", 10**9),
    ],
)
def test_sizes_of_one_model_type_are_compared_with_the_weights_too(
    model_type: str,
    key: str,
    value: int,
    sources: dict[str, ModelSource],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def allocate(*_: object, **__: object) -> None:
        pytest.fail("a model was built")

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", allocate)
    folder = Path(shutil.copytree(sources[model_type].folder, tmp_path / "model"))
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))

    with pytest.raises(ModelError, match=f"{key} = {value} asks for about .* expected about the"):
        build(folder)
