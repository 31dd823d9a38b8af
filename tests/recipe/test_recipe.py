"""Recipes: reading, checking, updating and writing."""

import json
import math
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.errors import RecipeError
from edgeadapt.recipe import (
    AdapterConfig,
    AdapterKind,
    Device,
    ExportConfig,
    Exporter,
    GraphPass,
    LoraTarget,
    Objective,
    Placement,
    Platform,
    Recipe,
    Scheme,
    Task,
    Tuned,
    builtin_recipes,
)
from edgeadapt.store.run import Run

TEXT = st.text(st.characters(codec="utf-8"))
SHARE = st.floats(0, 1, exclude_max=True)
FRACTION = st.floats(0, 1, exclude_min=True, exclude_max=True)
COUNT = st.integers(1, 2**40)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
METHOD = st.lists(st.sampled_from(AdapterKind), min_size=1, unique=True).map("+".join)
SCHEMES = st.lists(st.sampled_from(Scheme), min_size=1, unique=True).map("+".join)
PASSES = st.lists(st.sampled_from(GraphPass), min_size=1, unique=True).map("+".join)
TARGETS = st.lists(st.sampled_from(LoraTarget), min_size=1, unique=True).map("+".join)
NUMBER = st.integers(0, 10**6)
LAYERS = st.lists(
    NUMBER.map(str) | st.tuples(NUMBER, NUMBER).map(lambda ends: f"{ends[0]}-{ends[1]}"),
    min_size=1,
).map(",".join)


def table(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any subset of the keys of a table."""
    return st.fixed_dictionaries({}, optional=values)


VALID_TABLES = table(
    model=table(id=TEXT, revision=TEXT, max_length=st.integers(3, 2**40), layers=COUNT),
    data=table(
        dataset=TEXT,
        name=TEXT,
        revision=TEXT,
        text_column=TEXT,
        text_pair_column=TEXT,
        label_column=TEXT,
        multi_label=st.booleans(),
        validation_fraction=FRACTION,
        test_fraction=FRACTION,
        split_seed=st.integers(0, 2**32 - 1),
    ),
    adapter=table(
        start=TEXT,
        method=METHOD,
        dimension=COUNT,
        reduction_factor=POSITIVE,
        activation=TEXT,
        scaling=st.floats(allow_nan=False, allow_infinity=False),
        learn_scaling=st.booleans(),
        placement=st.sampled_from([placement.value for placement in Placement]),
        layers=LAYERS,
        dropout=SHARE,
        rank=COUNT,
        targets=TARGETS,
        original_ln_before=st.booleans(),
    ),
    training=table(
        epochs=COUNT,
        batch_size=COUNT,
        learning_rate=POSITIVE,
        head_rate=POSITIVE,
        weight_decay=SHARE,
        warmup=st.floats(0, 1),
        label_smoothing=SHARE,
        clip_norm=POSITIVE,
        seed=st.integers(0, 2**32 - 1),
        device=st.sampled_from([device.value for device in Device]),
        threads=COUNT,
    ),
    export=table(
        quantize=st.booleans(),
        scheme=st.just("auto") | SCHEMES,
        objective=st.sampled_from([objective.value for objective in Objective]),
        target=st.sampled_from([platform.value for platform in Platform]),
        max_drop=st.floats(0, 1),
        trim_vocab=st.sampled_from(["auto", "none"]) | COUNT,
        with_torch=st.booleans(),
        evaluation=st.booleans(),
        exporter=st.sampled_from([exporter.value for exporter in Exporter]),
        passes=st.sampled_from(["all", "none"]) | PASSES,
        threads=COUNT,
    ),
)
"""Every recipe that a user can write."""


def recipe(**tables: dict[str, Any]) -> Recipe:
    return Recipe.from_dict(tables, origin="mine.toml")


def refusal(**tables: Any) -> str:
    """Returns the message with which a recipe is refused."""
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(tables, origin="mine.toml")
    return caught.value.message


# Built-in recipes


def test_the_builtin_recipes_are_pinned() -> None:
    assert builtin_recipes() == ("demo", "imdb", "sst2")


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_builtin_recipe_loads_and_names_a_model_and_data(name: str) -> None:
    loaded = Recipe.load(name)

    assert loaded.model.id
    assert loaded.data.dataset
    assert loaded.adapter.kinds


def test_the_demo_recipe_trains_the_default_method_on_the_embedded_reviews() -> None:
    loaded = Recipe.load("demo")

    assert (loaded.model, loaded.data) == (Recipe().model, Recipe().data)
    assert loaded.adapter == Recipe().adapter


def test_a_builtin_recipe_sets_what_its_file_says() -> None:
    loaded = Recipe.load("imdb")

    assert loaded.model.id == "bert-base-uncased"
    assert loaded.data.dataset == "stanfordnlp/imdb"
    assert loaded.adapter.kinds == (AdapterKind.HOULSBY,)
    assert loaded.training.learning_rate == 1e-4


def test_an_unknown_recipe_is_named_with_the_known_ones(in_empty_folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load("dmeo")

    assert "Unknown recipe 'dmeo': expected a file or one of demo, imdb, sst2" in str(caught.value)


@pytest.mark.parametrize("source", ["../recipes/demo", "demo.toml", ""])
def test_a_recipe_name_is_not_a_path_into_the_package(source: str, in_empty_folder: Path) -> None:
    with pytest.raises(RecipeError, match="Unknown recipe"):
        Recipe.load(source)


# Files


def test_a_recipe_file_sets_only_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[model]\nid = "café/bert"\n[training]\nepochs = 7\n', encoding="utf-8")

    loaded = Recipe.load(str(file))

    assert loaded == recipe(model={"id": "café/bert"}, training={"epochs": 7})
    assert loaded.training.batch_size == Recipe().training.batch_size


def test_an_error_in_a_recipe_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nepochs = 0\n")

    with pytest.raises(RecipeError) as caught:
        Recipe.load(str(file))

    assert f"{file}: training.epochs: expected at least 1, found 0" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("mine.toml", b"[training\nepochs = 1"),
        ("mine.toml", b'[model]\nid = "\xff"'),
        ("run.json", b'{"recipe": '),
        ("run.json", b'{"recipe": "\xff"}'),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, raw: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)

    with pytest.raises(RecipeError) as caught:
        Recipe.load(str(tmp_path / name))

    assert f"{tmp_path / name} cannot be read as a recipe" in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"recipe": None}, {"recipe": 3}, [1], "recipe", 5])
def test_a_json_file_without_a_recipe_is_named(content: object, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(content))

    with pytest.raises(RecipeError, match=r'run\.json holds no "recipe"'):
        Recipe.load(str(tmp_path / "run.json"))


def test_a_saved_run_is_taken_back(tiny_run: Run, tiny_recipe: Callable[..., Recipe]) -> None:
    loaded = Recipe.load(str(tiny_run.path / "run.json"))

    assert loaded == tiny_recipe().resolved()
    assert loaded == tiny_run.info.recipe


def test_a_run_folder_stands_for_its_recipe(tiny_run: Run) -> None:
    assert Recipe.load(str(tiny_run.path)) == Recipe.load(str(tiny_run.path / "run.json"))


def test_a_run_folder_without_its_json_is_no_recipe(tiny_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_run.path, folder)
    (folder / "run.json").unlink()

    with pytest.raises(RecipeError, match="copy"):
        Recipe.load(str(folder))


# Names, types and ranges


def test_an_unknown_table_is_named_with_the_known_ones() -> None:
    message = refusal(trainning={"epochs": 1})

    assert message == (
        "mine.toml: unknown table [trainning]: expected model, data, adapter, training, export."
    )


def test_a_value_where_a_table_belongs_is_not_called_an_unknown_table() -> None:
    message = refusal(model="bert-base-uncased")

    assert "mine.toml" in message
    assert "model" in message
    assert "'bert-base-uncased'" in message
    assert "unknown table" not in message


def test_an_unknown_key_is_named_with_the_known_ones() -> None:
    message = refusal(adapter={"dimensions": 8})

    assert message == (
        "mine.toml: [adapter] has no key 'dimensions': expected one of "
        "start, method, dimension, reduction_factor, activation, scaling, learn_scaling, "
        "placement, layers, dropout, rank, targets, original_ln_before."
    )


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("training", "epochs", "4", "int"),
        ("training", "epochs", 4.0, "int"),
        ("training", "epochs", True, "int"),
        ("training", "batch_size", None, "int"),
        ("training", "epochs", [4], "int"),
        ("training", "learning_rate", "1e-3", "float"),
        ("training", "learning_rate", False, "float"),
        ("training", "threads", 1.5, "int"),
        ("training", "device", "gpu", "auto, cpu, cuda"),
        ("training", "device", 0, "auto, cpu, cuda"),
        ("training", "device", ["cpu"], "auto, cpu, cuda"),
        ("model", "id", 7, "str"),
        ("model", "revision", 7, "str"),
        ("data", "dataset", ["a.csv", "b.csv"], "str"),
        ("data", "dataset", {"train": "a.csv"}, "str"),
        ("adapter", "method", None, "str"),
        ("adapter", "method", ["lora", "ia3"], "str"),
        ("adapter", "start", 7, "str"),
        ("adapter", "start", False, "str"),
        ("adapter", "rank", 2.0, "int"),
        ("adapter", "rank", None, "int"),
        ("adapter", "rank", True, "int"),
        ("adapter", "reduction_factor", "16", "float"),
        ("adapter", "reduction_factor", True, "float"),
        ("adapter", "learn_scaling", 1, "bool"),
        ("adapter", "learn_scaling", None, "bool"),
        ("adapter", "original_ln_before", "yes", "bool"),
        ("adapter", "original_ln_before", 0, "bool"),
        ("adapter", "placement", "middle", "attention, ffn, both"),
        ("adapter", "placement", "FFN", "attention, ffn, both"),
        ("adapter", "placement", ["ffn"], "attention, ffn, both"),
        ("adapter", "layers", 3, "str"),
        ("adapter", "layers", [0, 1], "str"),
        ("adapter", "targets", ["query"], "str"),
        ("adapter", "targets", None, "str"),
        ("model", "layers", 2.5, "int"),
        ("model", "layers", "2", "int"),
        ("model", "layers", True, "int"),
        ("data", "multi_label", "true", "bool"),
        ("export", "quantize", 1, "bool"),
        ("export", "scheme", ["static-int8"], "str"),
        ("export", "engine", "tflite", "onnxruntime, openvino, torch"),
        ("export", "max_drop", "1%", "float"),
        ("export", "trim_vocab", True, "int or str"),
        ("export", "trim_vocab", None, "int or str"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(
    section: str, key: str, value: object, expected: str
) -> None:
    message = refusal(**{section: {key: value}})

    assert message == f"mine.toml: [{section}] {key}: expected {expected}, found {value!r}."


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("model", "max_length", 2, "at least 3 tokens"),
        ("data", "validation_fraction", 0.0, "between 0 and 1"),
        ("data", "validation_fraction", 1.0, "between 0 and 1"),
        ("data", "test_fraction", -0.1, "between 0 and 1"),
        ("data", "test_fraction", 1.5, "between 0 and 1"),
        ("model", "layers", 0, "at least 1"),
        ("model", "layers", -1, "at least 1"),
        ("adapter", "dimension", 0, "at least 1"),
        ("adapter", "reduction_factor", 0.0, "above 0"),
        ("adapter", "reduction_factor", -2.0, "above 0"),
        ("adapter", "rank", 0, "at least 1"),
        ("adapter", "rank", -1, "at least 1"),
        ("adapter", "dropout", -0.1, "from 0 to below 1"),
        ("adapter", "dropout", 1.0, "from 0 to below 1"),
        ("training", "epochs", 0, "at least 1"),
        ("training", "batch_size", 0, "at least 1"),
        ("training", "learning_rate", 0.0, "above 0"),
        ("training", "head_rate", 0.0, "above 0"),
        ("training", "weight_decay", -0.1, "at least 0"),
        ("training", "warmup", -0.1, "from 0 to 1"),
        ("training", "warmup", 1.1, "from 0 to 1"),
        ("training", "label_smoothing", -0.1, "from 0 to below 1"),
        ("training", "label_smoothing", 1.0, "from 0 to below 1"),
        ("training", "clip_norm", 0.0, "above 0"),
        ("training", "seed", -1, "from 0 to 2^32 - 1"),
        ("data", "split_seed", -1, "from 0 to 2^32 - 1"),
        ("data", "split_seed", 2**32, "from 0 to 2^32 - 1"),
        ("training", "seed", 2**32, "from 0 to 2^32 - 1"),
        ("training", "threads", 0, "at least 1"),
        ("export", "max_drop", -0.1, "from 0 to 1"),
        ("export", "max_drop", 1.1, "from 0 to 1"),
        ("export", "threads", 0, "at least 1"),
        ("export", "trim_vocab", 0, "a number above 0, auto or none"),
        ("export", "trim_vocab", -3, "a number above 0, auto or none"),
        ("export", "engine", "torch", "one of onnxruntime, openvino"),
    ],
)
def test_a_value_out_of_range_is_named(section: str, key: str, value: float, expected: str) -> None:
    message = refusal(**{section: {key: value}})

    assert message == f"mine.toml: {section}.{key}: expected {expected}, found {value}."


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("model", "max_length", 3),
        ("model", "layers", 1),
        ("adapter", "dimension", 1),
        ("adapter", "reduction_factor", 0.5),
        ("adapter", "rank", 1),
        ("adapter", "dropout", 0.0),
        ("training", "epochs", 1),
        ("training", "batch_size", 1),
        ("training", "weight_decay", 0.0),
        ("training", "warmup", 0.0),
        ("training", "warmup", 1.0),
        ("training", "label_smoothing", 0.0),
        ("training", "seed", 0),
        ("training", "seed", 2**32 - 1),
        ("training", "threads", 1),
        ("export", "max_drop", 0.0),
        ("export", "max_drop", 1.0),
        ("export", "trim_vocab", 1),
    ],
)
def test_the_ends_of_a_range_are_accepted(section: str, key: str, value: float) -> None:
    assert recipe(**{section: {key: value}}).to_dict()[section][key] == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("data", "validation_fraction"),
        ("data", "test_fraction"),
        ("adapter", "scaling"),
        ("adapter", "reduction_factor"),
        ("adapter", "dropout"),
        ("training", "learning_rate"),
        ("training", "head_rate"),
        ("training", "weight_decay"),
        ("training", "warmup"),
        ("training", "label_smoothing"),
        ("training", "clip_norm"),
    ],
)
def test_a_number_that_is_not_finite_is_refused(section: str, key: str, value: float) -> None:
    message = refusal(**{section: {key: value}})

    assert f"{section}.{key}" in message
    assert f"found {value}" in message


def test_a_whole_number_too_large_for_a_float_is_refused() -> None:
    message = refusal(training={"learning_rate": 10**400})

    assert "learning_rate" in message


def test_a_whole_number_is_taken_for_a_float() -> None:
    scaling = recipe(adapter={"scaling": 2}).adapter.scaling

    assert scaling == 2.0
    assert isinstance(scaling, float)


def test_a_device_is_read_as_its_enum() -> None:
    assert recipe(training={"device": "cpu"}).training.device is Device.CPU


@pytest.mark.parametrize("method", ["paralel", "parallel+", "", "parallel + bitfit", "PARALLEL"])
def test_an_unknown_method_is_named_with_the_known_ones(method: str) -> None:
    message = refusal(adapter={"method": method})
    unknown = next(part for part in method.split("+") if part not in list(AdapterKind))

    assert message == (
        f"mine.toml: unknown method {unknown!r}: expected one of {', '.join(AdapterKind)}."
    )


def test_a_kind_named_twice_is_refused() -> None:
    message = refusal(adapter={"method": "bitfit+parallel+bitfit"})

    assert message == "mine.toml: method 'bitfit+parallel+bitfit' names one twice."


def test_the_kinds_and_targets_are_pinned() -> None:
    assert [str(kind) for kind in AdapterKind] == [
        *("parallel", "sequential", "houlsby", "compacter", "lora", "ia3"),
        *("bitfit", "layernorm", "head", "full"),
    ]
    assert [str(target) for target in LoraTarget] == [
        *("query", "key", "value", "dense", "ffn", "ffn-in", "ffn-out")
    ]


@pytest.mark.parametrize("targets", ["values", "query+", "", "query + value", "QUERY", "query,key"])
def test_an_unknown_target_is_named_with_the_known_ones(targets: str) -> None:
    message = refusal(adapter={"targets": targets})
    unknown = next(part for part in targets.split("+") if part not in list(LoraTarget))

    assert message == (
        f"mine.toml: unknown target {unknown!r}: expected one of "
        "query, key, value, dense, ffn, ffn-in, ffn-out."
    )


@pytest.mark.parametrize(
    ("key", "example"), [("method", "parallel+houlsby"), ("targets", "query+value")]
)
def test_the_hint_shows_how_names_are_joined_and_can_be_followed(key: str, example: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(adapter={key: "magic"})

    assert caught.value.hint.endswith(f"joined by +, as in {example}.")
    recipe(adapter={key: example})


def test_a_target_named_twice_is_refused() -> None:
    message = refusal(adapter={"targets": "query+value+query"})

    assert message == "mine.toml: target 'query+value+query' names one twice."


def test_targets_keep_their_order() -> None:
    targets = recipe(adapter={"targets": "ffn-out+query"}).adapter.lora_targets

    assert targets == (LoraTarget.FFN_OUT, LoraTarget.QUERY)


@pytest.mark.parametrize(
    "layers",
    ["", "a", "-1", "1-", "-", "1,", ",1", "1-2-3", "1 - 2", "1, 2", "1.5", "\u00b2", "\u0663"],
)
def test_layers_that_are_no_numbers_and_ranges_are_refused(layers: str) -> None:
    message = refusal(adapter={"layers": layers})

    assert message == (
        "mine.toml: adapter.layers: expected numbers and ranges such as 6-11 or 0,2-4, "
        f"found {layers!r}."
    )


@pytest.mark.parametrize("placement", Placement)
def test_a_placement_names_its_sublayers(placement: Placement) -> None:
    read = recipe(adapter={"placement": placement.value}).adapter.placement

    assert read is placement
    assert "+".join(read.sublayers) == placement.replace("both", "attention+ffn")


@pytest.mark.parametrize("layers", ["0", "11", "6-11", "0,2-4", "3-3", "1-2,0", "0-1,0-1"])
def test_numbers_and_ranges_of_layers_are_kept_as_they_were_written(layers: str) -> None:
    assert recipe(adapter={"layers": layers}).adapter.layers == layers


def test_what_was_new_is_off_where_a_recipe_does_not_name_it() -> None:
    read = recipe(adapter={"method": "houlsby", "dimension": 8})

    assert read.model.layers is None
    assert read.adapter == AdapterConfig(
        start=None,
        method="houlsby",
        dimension=8,
        reduction_factor=None,
        activation=None,
        scaling=1.0,
        learn_scaling=False,
        placement=None,
        layers=None,
        dropout=0.0,
        rank=8,
        targets="query+value",
        original_ln_before=False,
    )


def test_every_new_setting_is_written_to_toml_and_read_again() -> None:
    given: dict[str, dict[str, Any]] = {
        "model": {"layers": 3},
        "adapter": {
            "start": "runs/mine",
            "reduction_factor": 16.0,
            "learn_scaling": True,
            "placement": "both",
            "layers": "0,2-4",
            "rank": 4,
            "targets": "query+ffn",
            "original_ln_before": True,
        },
    }

    written = tomllib.loads(recipe(**given).to_toml())

    for section, values in given.items():
        assert {key: written[section][key] for key in values} == values
    assert recipe(**written) == recipe(**given)


def test_combined_kinds_keep_their_order() -> None:
    kinds = recipe(adapter={"method": "parallel+bitfit"}).adapter.kinds

    assert kinds == (AdapterKind.PARALLEL, AdapterKind.BITFIT)


# Updating


def test_an_update_replaces_only_what_it_names() -> None:
    base = recipe(training={"epochs": 7, "seed": 3}, adapter={"dimension": 8})

    updated = base.updated({"training": {"epochs": 9}}, origin="command line")

    assert updated == recipe(training={"epochs": 9, "seed": 3}, adapter={"dimension": 8})


def test_an_update_leaves_the_original_as_it_was() -> None:
    base = recipe(training={"epochs": 7})

    base.updated({"training": {"epochs": 9}}, origin="command line")

    assert base == recipe(training={"epochs": 7})


def test_an_error_in_an_update_names_its_origin() -> None:
    with pytest.raises(RecipeError, match=r"^command line: training\.epochs: .* found 0"):
        Recipe().updated({"training": {"epochs": 0}}, origin="command line")


def test_a_new_method_drops_the_rate_tuned_for_the_old_one() -> None:
    base = recipe(adapter={"method": "houlsby", "dimension": 8}, training={"learning_rate": 1e-4})

    updated = base.updated({"adapter": {"method": "full"}}, origin="command line")

    assert updated.training.learning_rate is None
    assert updated.resolved().training.learning_rate == Tuned().rates[AdapterKind.FULL]
    assert updated.adapter.dimension == 8


def test_a_new_method_keeps_the_rate_given_with_it() -> None:
    base = recipe(adapter={"method": "houlsby"}, training={"learning_rate": 1e-4})

    updated = base.updated(
        {"adapter": {"method": "full"}, "training": {"learning_rate": 3e-5}}, origin="command line"
    )

    assert updated.training.learning_rate == 3e-5


def test_a_new_method_keeps_the_rest_of_the_training() -> None:
    base = recipe(training={"learning_rate": 1e-4, "epochs": 7, "seed": 5})

    updated = base.updated({"adapter": {"method": "full"}}, origin="command line")

    assert (updated.training.epochs, updated.training.seed) == (7, 5)


def test_the_same_method_keeps_its_rate() -> None:
    base = recipe(adapter={"method": "houlsby"}, training={"learning_rate": 1e-4})

    updated = base.updated({"adapter": {"method": "houlsby"}}, origin="command line")

    assert updated.training.learning_rate == 1e-4


DATA = {
    "dataset": "owner/reviews",
    "name": "english",
    "revision": "abc",
    "text_column": "sentence",
    "label_column": "stars",
}


def test_a_new_data_set_drops_columns_name_and_revision_of_the_old_one() -> None:
    updated = recipe(data=DATA).updated({"data": {"dataset": "mine.csv"}}, origin="command line")

    assert updated.data == recipe(data={"dataset": "mine.csv"}).data


def test_a_new_data_set_keeps_the_columns_given_with_it() -> None:
    given = {"dataset": "mine.csv", "text_column": "review", "revision": "def"}

    updated = recipe(data=DATA).updated({"data": given}, origin="command line")

    assert updated.data == recipe(data=given).data


def test_the_same_data_set_keeps_its_columns() -> None:
    base = recipe(data=DATA)

    updated = base.updated({"data": {"dataset": DATA["dataset"]}}, origin="command line")

    assert updated == base


def test_a_new_data_set_keeps_the_shares_to_hold_out() -> None:
    base = recipe(data={**DATA, "validation_fraction": 0.3, "test_fraction": 0.2})

    updated = base.updated({"data": {"dataset": "mine.csv"}}, origin="command line")

    assert (updated.data.validation_fraction, updated.data.test_fraction) == (0.3, 0.2)


def test_a_new_data_set_keeps_the_seed_of_the_splits() -> None:
    base = recipe(data={**DATA, "split_seed": 3})

    updated = base.updated({"data": {"dataset": "mine.csv"}}, origin="command line")

    assert updated.data.split_seed == 3


def test_the_seed_of_training_does_not_move_the_seed_of_the_splits() -> None:
    assert recipe(training={"seed": 7}).data.split_seed == 0


def test_a_record_from_before_the_split_seed_keeps_the_splits_it_had(tmp_path: Path) -> None:
    recorded = recipe(training={"seed": 7}).to_dict()
    del recorded["data"]["split_seed"]
    (tmp_path / "run.json").write_text(json.dumps({"recipe": recorded}))

    read = Recipe.load(str(tmp_path))

    assert read == Recipe.from_recorded(recorded, origin="run.json")
    assert read.data.split_seed == 7
    assert read.updated({"training": {"seed": 8}}, origin="command line").data.split_seed == 7


def test_a_record_says_the_seed_of_its_splits(tmp_path: Path) -> None:
    recorded = recipe(training={"seed": 7}, data={"split_seed": 2})
    (tmp_path / "run.json").write_text(json.dumps({"recipe": recorded.to_dict()}))

    assert Recipe.load(str(tmp_path)) == recorded


def test_a_new_model_drops_the_revision_of_the_old_one() -> None:
    base = recipe(model={"id": "owner/model", "revision": "abc", "max_length": 64})

    updated = base.updated({"model": {"id": "other/model"}}, origin="command line")

    assert updated.model == recipe(model={"id": "other/model", "max_length": 64}).model


def test_a_new_model_keeps_the_revision_given_with_it() -> None:
    base = recipe(model={"id": "owner/model", "revision": "abc"})

    updated = base.updated(
        {"model": {"id": "other/model", "revision": "def"}}, origin="command line"
    )

    assert updated.model.revision == "def"


def test_the_same_model_keeps_its_revision() -> None:
    base = recipe(model={"id": "owner/model", "revision": "abc"})

    updated = base.updated({"model": {"id": "owner/model"}}, origin="command line")

    assert updated.model.revision == "abc"


# Export


def test_an_older_record_without_the_table_exports_by_the_defaults(tmp_path: Path) -> None:
    recorded = recipe(training={"seed": 7}).to_dict()
    del recorded["export"]
    (tmp_path / "run.json").write_text(json.dumps({"recipe": recorded}))

    assert Recipe.load(str(tmp_path)).export == ExportConfig()


@pytest.mark.parametrize(
    ("table", "schemes", "passes"),
    [
        ({}, (), tuple(GraphPass)),
        ({"scheme": "auto", "passes": "none"}, tuple(Scheme), ()),
        ({"scheme": "auto", "engine": "openvino"}, (Scheme.STATIC_INT8,), tuple(GraphPass)),
        (
            {"scheme": "static-int8+dynamic-int8", "passes": "positions"},
            (Scheme.STATIC_INT8, Scheme.DYNAMIC_INT8),
            (GraphPass.POSITIONS,),
        ),
    ],
)
def test_schemes_and_passes_are_those_that_their_names_stand_for(
    table: dict[str, Any], schemes: tuple[Scheme, ...], passes: tuple[GraphPass, ...]
) -> None:
    export = recipe(export=table).export

    assert (export.schemes, export.graph_passes) == (schemes, passes)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"scheme": "int3"}, "mine.toml: unknown scheme 'int3'"),
        ({"scheme": "auto+static-int8"}, "mine.toml: unknown scheme 'auto'"),
        ({"passes": "magic"}, "mine.toml: unknown pass 'magic'"),
        ({"passes": "all+none"}, "mine.toml: unknown pass 'all'"),
        (
            {"trim_vocab": "8000"},
            "mine.toml: export.trim_vocab: expected a number above 0, auto or none, found '8000'.",
        ),
        (
            {"engine": "openvino", "scheme": "int4-weights"},
            "mine.toml: export.scheme: openvino runs static-int8, found int4-weights.",
        ),
        ({"quantise": True}, "mine.toml: [export] has no key 'quantise': expected one of quantize"),
    ],
)
def test_what_no_export_can_do_is_refused_before_anything_is_trained(
    table: dict[str, Any], message: str
) -> None:
    assert refusal(export=table).startswith(message)


def test_a_new_engine_drops_the_schemes_of_the_old_one() -> None:
    base = recipe(export={"scheme": "int4-weights", "quantize": True})

    updated = base.updated({"export": {"engine": "openvino"}}, origin="command line").export

    assert (updated.scheme, updated.quantize) == (None, True)


# Rates


def test_every_kind_has_a_tuned_rate_and_tuned_epochs() -> None:
    assert set(Tuned().rates) == set(Tuned().epochs) == set(AdapterKind)


def test_combined_kinds_take_the_smallest_rate_and_the_most_epochs() -> None:
    kinds = (AdapterKind.PARALLEL, AdapterKind.BITFIT)
    tuned = Tuned(
        dict(zip(kinds, (2e-3, 5e-4), strict=True)), dict(zip(kinds, (4, 6), strict=True))
    )

    assert tuned.rate_of(kinds) == 5e-4
    assert tuned.epochs_of(kinds) == 6


@pytest.mark.parametrize("kind", AdapterKind)
def test_resolving_fills_in_what_is_tuned_and_nothing_else(kind: AdapterKind) -> None:
    base = recipe(adapter={"method": kind.value})

    resolved = base.resolved()

    tuned = {
        "learning_rate": Tuned().rates[kind],
        "epochs": Tuned().epochs[kind],
    }
    assert resolved == base.updated({"training": tuned}, origin="test")


def test_resolving_keeps_what_is_given() -> None:
    base = recipe(training={"learning_rate": 0.123, "head_rate": 0.5, "epochs": 5})

    assert base.resolved() == base


# Writing


@settings(max_examples=50, deadline=None)
@given(VALID_TABLES)
def test_a_recipe_comes_back_from_toml(tables: dict[str, dict[str, Any]]) -> None:
    written = recipe(**tables)

    read = Recipe.from_dict(tomllib.loads(written.to_toml()), origin="saved")

    assert read == written


@settings(max_examples=50, deadline=None)
@given(VALID_TABLES)
def test_a_recipe_comes_back_from_json(tables: dict[str, dict[str, Any]]) -> None:
    written = recipe(**tables)

    read = Recipe.from_dict(json.loads(json.dumps(written.to_dict())), origin="saved")

    assert read == written


@settings(max_examples=50, deadline=None)
@given(VALID_TABLES)
def test_a_recipe_holds_what_was_given(tables: dict[str, dict[str, Any]]) -> None:
    held = recipe(**tables).to_dict()

    for section, values in tables.items():
        assert {key: held[section][key] for key in values} == values


def test_toml_carries_characters_outside_the_basic_plane() -> None:
    written = recipe(data={"dataset": "reviews/😀.csv"})

    assert tomllib.loads(written.to_toml())["data"]["dataset"] == "reviews/😀.csv"


def test_toml_leaves_out_what_is_not_set() -> None:
    written = tomllib.loads(Recipe().to_toml())

    assert "revision" not in written["model"]
    assert "learning_rate" not in written["training"]
    assert list(written) == ["model", "data", "adapter", "training", "export"]


def test_toml_written_to_a_file_is_a_recipe(tmp_path: Path) -> None:
    written = recipe(model={"id": 'a "quoted" \\ name'}, training={"device": "cpu"}).resolved()
    (tmp_path / "mine.toml").write_text(written.to_toml(), encoding="utf-8")

    assert Recipe.load(str(tmp_path / "mine.toml")) == written


def test_pairs_and_label_sets_are_part_of_the_data() -> None:
    recipe = Recipe.from_dict(
        {"data": {"dataset": "a.csv", "text_pair_column": "b", "multi_label": True}}, origin="test"
    )

    assert (recipe.data.pairs, recipe.data.task) == (True, Task.MULTI_LABEL)
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml()), origin="toml") == recipe
    other = recipe.updated({"data": {"dataset": "b.csv"}}, origin="test").data
    assert (other.pairs, other.task) == (False, Task.SINGLE_LABEL)


def test_numbers_of_layers_too_long_for_python_to_convert_are_refused() -> None:
    longest = "9" * sys.int_info.default_max_str_digits

    assert recipe(adapter={"layers": longest}).adapter.layers == longest
    with pytest.raises(RecipeError, match=r"adapter\.layers"):
        recipe(adapter={"layers": f"0-{longest}9"})
