"""From a model's name to a folder: local, embedded or from the hub."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from edgeadapt.backbones import BACKBONES
from edgeadapt.errors import HubError, IntegrityError, ModelError
from edgeadapt.models import sources as module
from edgeadapt.models.hub import Snapshot
from edgeadapt.models.sources import EMBEDDED, EmbeddedWeights, ModelSource, find_model
from edgeadapt.recipe import ModelConfig
from tests.conftest import TINY_CONFIGS

ID = "someone/embedded-model"


def find(name: object, **config: Any) -> ModelSource:
    return find_model(ModelConfig(id=str(name), **config))


@pytest.fixture(autouse=True)
def hub_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Keeps every test off the network; what would have been fetched."""
    calls: list[dict[str, Any]] = []

    def fetch(repository: str, **options: Any) -> Snapshot:
        calls.append({"repository": repository, **options})
        raise HubError(f"{repository} was asked for")

    monkeypatch.setattr(module.hub, "fetch", fetch)
    return calls


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A tiny BERT that a test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


@pytest.fixture
def embed(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Makes a package that carries a checkpoint and enters it, with a hash, in the table."""

    def make(sha256: str) -> Path:
        package = tmp_path / "site" / "tiny_embedded_weights"
        shutil.copytree(checkpoint, package / "model")
        (package / "__init__.py").touch()
        monkeypatch.syspath_prepend(package.parent)
        row = EmbeddedWeights(package=package.name, folder="model", sha256=sha256)
        monkeypatch.setattr(module, "EMBEDDED", {ID: row})
        return package / "model"

    return make


def weights_sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_local_folder_is_found_with_its_config(folder: Path) -> None:
    found = find(folder)

    assert found.folder == folder
    assert found.id == str(folder)
    assert found.commit is None
    assert found.config["hidden_size"] == 16
    assert found.spec.model_type == "bert"


def test_a_relative_folder_gets_an_absolute_id(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)

    assert find("model").id == str(folder)


def test_a_folder_in_the_home_directory_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))

    assert find("~/model").id == str(folder)


def test_a_local_folder_goes_before_embedded_weights(
    embed: Callable[[str], Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed("0" * 64)
    shutil.copytree(folder, folder.parent / ID)
    monkeypatch.chdir(folder.parent)

    assert find(ID).folder.resolve() == folder.parent / ID


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_longest_text_leaves_out_reserved_positions(
    model_type: str, sources: dict[str, ModelSource]
) -> None:
    assert sources[model_type].max_length() == 40


def test_settings_that_a_stock_model_computes_without_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "emb_pooler": "mean"}))

    with pytest.raises(ModelError, match='do not support emb_pooler = "mean"'):
        find(folder)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_what_a_checkpoint_leaves_out_is_as_transformers_takes_it(
    model_type: str, sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))

    found = find(tmp_path)

    positions = found.stock_config().max_position_embeddings
    assert found.max_length() == positions - found.spec.position_offset


def test_a_folder_without_a_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()

    with pytest.raises(
        ModelError, match=r"holds no checkpoint: there is no config\.json"
    ) as caught:
        find(folder)

    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\x00\x01"])
def test_a_config_that_is_not_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)

    with pytest.raises(ModelError, match="not valid JSON") as caught:
        find(folder)

    assert str(folder / "config.json") in str(caught.value)


def test_a_config_that_is_not_an_object_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[]")

    with pytest.raises(ModelError, match=r"config\.json"):
        find(folder)


@pytest.mark.parametrize("model_type", ["gpt2", "deberta", None])
def test_an_unsupported_model_type_is_refused_with_those_that_are(
    folder: Path, model_type: str | None
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": model_type}))

    with pytest.raises(ModelError) as caught:
        find(folder)

    assert repr(model_type) in str(caught.value)
    assert ", ".join(BACKBONES) in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../model", "./model", "/no/such/folder", "~/no-such-folder", "a/b/c", "..x", "a/../b"]
)
@pytest.mark.usefixtures("in_empty_folder")
def test_what_cannot_be_a_hub_id_never_reaches_the_hub(
    name: str, hub_calls: list[dict[str, Any]]
) -> None:
    with pytest.raises(ModelError, match="There is no folder") as caught:
        find(name)

    assert name in str(caught.value)
    assert hub_calls == []


@pytest.mark.usefixtures("in_empty_folder")
def test_an_empty_name_is_refused(hub_calls: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelError):
        find("")

    assert hub_calls == []


@pytest.mark.parametrize("name", ["a/..", "two words", "-dash", "a\nb", "a//"])
@pytest.mark.usefixtures("in_empty_folder")
def test_an_unsafe_hub_id_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with pytest.raises((HubError, ModelError)) as caught:
        find(name)

    assert name in str(caught.value) or repr(name) in str(caught.value)


def test_embedded_weights_are_found_by_their_hub_id(
    embed: Callable[[str], Path], checkpoint: Path, hub_calls: list[dict[str, Any]]
) -> None:
    folder = embed(weights_sha256(checkpoint))

    found = find(ID)

    assert found.folder == folder
    assert found.id == ID
    assert found.commit is None
    assert hub_calls == []


def test_embedded_weights_with_another_hash_are_refused(
    embed: Callable[[str], Path], checkpoint: Path, hub_calls: list[dict[str, Any]]
) -> None:
    folder = embed("0" * 64)

    with pytest.raises(IntegrityError) as caught:
        find(ID)

    assert str(folder / "model.safetensors") in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert weights_sha256(checkpoint) in str(caught.value)
    assert hub_calls == []


def test_embedded_weights_that_are_missing_are_refused(
    embed: Callable[[str], Path], checkpoint: Path
) -> None:
    folder = embed(weights_sha256(checkpoint))
    (folder / "model.safetensors").unlink()

    with pytest.raises(IntegrityError, match="is missing"):
        find(ID)


def test_a_revision_is_asked_of_the_hub_and_not_of_embedded_weights(
    embed: Callable[[str], Path], checkpoint: Path, hub_calls: list[dict[str, Any]]
) -> None:
    embed(weights_sha256(checkpoint))

    with pytest.raises(HubError):
        find(ID, revision="v2")

    assert hub_calls[0]["repository"] == ID
    assert hub_calls[0]["revision"] == "v2"


@pytest.mark.usefixtures("in_empty_folder")
def test_without_the_package_the_hub_is_asked(
    monkeypatch: pytest.MonkeyPatch, hub_calls: list[dict[str, Any]]
) -> None:
    row = EmbeddedWeights(package="no_such_package_here", folder="model", sha256="0" * 64)
    monkeypatch.setattr(module, "EMBEDDED", {ID: row})

    with pytest.raises(HubError):
        find(ID)

    assert hub_calls[0]["repository"] == ID


def test_every_row_of_the_table_has_a_sha256_and_no_path() -> None:
    for row in EMBEDDED.values():
        assert len(bytes.fromhex(row.sha256)) == 32
        assert row.package.isidentifier()
        assert Path(row.folder).name == row.folder


@pytest.mark.usefixtures("in_empty_folder")
def test_a_hub_snapshot_keeps_its_id_and_commit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.hub, "fetch", lambda *_, **__: Snapshot(folder, "abc123"))

    found = find("someone/model", revision="main")

    assert (found.id, found.commit, found.folder) == ("someone/model", "abc123", folder)


@pytest.mark.usefixtures("in_empty_folder")
def test_pickled_weights_are_fetched_only_where_there_are_no_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def fetch(_: str, *, patterns: tuple[str, ...], **__: Any) -> Snapshot:
        asked.append(tuple(patterns))
        return Snapshot(folder, "abc123")

    monkeypatch.setattr(module.hub, "fetch", fetch)
    find("someone/model")
    (folder / "model.safetensors").unlink()
    find("someone/model")

    pickled = ["pytorch_model.bin" in patterns for patterns in asked]
    assert pickled == [False, False, True]


@pytest.mark.usefixtures("in_empty_folder")
def test_no_code_is_fetched_from_a_repository(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch(_: str, *, patterns: tuple[str, ...], **__: Any) -> Snapshot:
        asked.extend(patterns)
        return Snapshot(folder, "abc123")

    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(module.hub, "fetch", fetch)
    find("someone/model")

    assert not any(Path(f"modeling{suffix}").match(p) for p in asked for suffix in (".py", ".so"))


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.parametrize(
    "name", ["spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"]
)
def test_vocabularies_of_every_kind_are_fetched(hub_calls: list[dict[str, Any]], name: str) -> None:
    with pytest.raises(HubError):
        find("someone/model")

    assert any(Path(name).match(pattern) for pattern in hub_calls[0]["patterns"])


# The longest input


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta"])
@pytest.mark.parametrize(("padding", "longest"), [(0, 40), (1, 39), (3, 37)])
def test_positions_begin_behind_the_padding_id(
    model_type: str, padding: int, longest: int, sources: dict[str, ModelSource]
) -> None:
    config = {**sources[model_type].config, "pad_token_id": padding}
    source = replace(sources[model_type], config=config)
    text = torch.full((1, longest), 7)
    model = AutoModel.from_config(AutoConfig.for_model(**config)).eval()

    assert source.max_length() == longest
    model(input_ids=text)
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.cat([text, text[:, :1]], dim=1))


def changed(source: ModelSource, **settings: object) -> ModelSource:
    return replace(source, config={**source.config, **settings})


def test_positions_that_follow_no_padding_id_are_refused(sources: dict[str, ModelSource]) -> None:
    with pytest.raises(ModelError, match="pad_token_id: expected a token id, found null"):
        changed(sources["roberta"], pad_token_id=None).max_length()


def test_a_padding_id_that_the_config_leaves_out_is_that_of_the_models_class(
    sources: dict[str, ModelSource],
) -> None:
    config = {k: v for k, v in sources["roberta"].config.items() if k != "pad_token_id"}

    assert replace(sources["roberta"], config=config).max_length() == 39


@pytest.mark.parametrize("value", ["512", 40.5, True])
def test_a_number_of_positions_that_is_none_is_refused(
    value: object, sources: dict[str, ModelSource]
) -> None:
    with pytest.raises(ModelError, match="max_position_embeddings: expected a whole number"):
        changed(sources["bert"], max_position_embeddings=value).max_length()


def test_a_number_of_positions_that_the_config_leaves_out_is_that_of_the_models_class(
    folder: Path,
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["max_position_embeddings"]
    path.write_text(json.dumps(config))
    (folder / "tokenizer_config.json").unlink()

    assert find(folder).max_length() == 512


def test_a_table_of_positions_without_room_for_text_is_refused(
    sources: dict[str, ModelSource],
) -> None:
    with pytest.raises(ModelError, match=r"expected more than 100, .*found 41"):
        changed(sources["roberta"], pad_token_id=99).max_length()


@pytest.mark.parametrize(
    ("said", "longest"), [(12, 12), (4_096, 40), (int(1e30), 40), (1e30, 40), (None, 40), (-1, 40)]
)
def test_no_input_is_longer_than_the_tokenizer_says(
    said: object, longest: int, folder: Path
) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": said}))

    assert find(folder).max_length() == longest


@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({"model_max_length": 12.0}, 12),
        ({"max_len": 12}, 12),
        ({"max_len": 12, "model_max_length": 14}, 14),
        ({"max_len": 12, "model_max_length": None}, 40),
    ],
)
def test_a_length_is_read_in_either_spelling(
    settings: dict[str, object], longest: int, folder: Path
) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))

    assert find(folder).max_length() == longest


@pytest.mark.parametrize("key", ["model_max_length", "max_len"])
@pytest.mark.parametrize("value", ["32", 32.5, True, [32]])
def test_a_length_that_is_no_whole_number_is_refused(key: str, value: object, folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({key: value}))

    with pytest.raises(ModelError, match=f"{key}: expected a whole number, found "):
        find(folder).max_length()


# What is in place of a file


DOWNLOADS = {
    "page": (b"<!DOCTYPE html>\n<html><head><title>Hub</title>" + b" " * 9_000, "an HTML page"),
    "page of old": (b"\n  <HTML><body>404</body></HTML>", "an HTML page"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
    "404": (b"404: Not Found", "the text '404: Not Found'"),
    "entry": (b"Entry not found\n", "the text 'Entry not found'"),
    "login": (b"Invalid username or password.", "the text 'Invalid username"),
    "error": (b'{"error":"Repository not found"}', 'a server\'s answer, {"error"'),
    "message": (b'{"message": "Not Found", "documentation_url": "https://x"}', "a server's answer"),
}


@pytest.mark.parametrize("content", DOWNLOADS)
@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "vocab.txt"],
)
def test_what_a_failed_download_left_is_called_what_it_is(
    folder: Path, name: str, content: str
) -> None:
    raw, found = DOWNLOADS[content]
    (folder / name).write_bytes(raw)

    with pytest.raises(IntegrityError) as caught:
        find(folder)

    assert str(folder / name) in caught.value.message
    assert f"is {found}" in caught.value.message
    assert "Its download failed." in caught.value.message
    assert "Fetch the file again" in caught.value.hint


def test_a_short_vocabulary_and_settings_are_no_failed_download(folder: Path) -> None:
    (folder / "vocab.txt").write_text("error\nnot found\n404\n")
    (folder / "added_tokens.json").write_text('{"error": 5, "message": 6}')

    assert find(folder).folder == folder


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
)
def test_a_byte_order_mark_that_transformers_does_not_read_is_named(
    folder: Path, name: str, encoding: str
) -> None:
    text = (folder / name).read_text("utf-8") if (folder / name).exists() else "[PAD]\n[UNK]\n"
    (folder / name).write_text(text, encoding)

    with pytest.raises(ModelError, match=rf"{name} begins with a byte order mark \(BOM\) of UTF-"):
        find(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "vocab.txt"]
)
def test_a_link_to_nothing_is_named_and_no_other_file_is_read_in_its_place(
    folder: Path, name: str
) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("../blobs/1f2e")

    with pytest.raises(ModelError, match=rf"{name} is a link to \.\./blobs/1f2e, which does not"):
        find(folder)


def test_links_as_the_hubs_cache_has_them_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").rename(tmp_path / "blob")
    (folder / "config.json").symlink_to("../blob")
    (folder / "README.md").symlink_to("/nowhere/at/all")

    assert find(folder).spec.model_type == "bert"
