"""Options created from the recipe's fields, and the collection of given values."""

from collections.abc import Callable, Sequence
from dataclasses import fields

import pytest
import typer
from typer.testing import CliRunner

from edgeadapt.cli.app import app
from edgeadapt.cli.given import Given, takes
from edgeadapt.errors import RecipeError
from edgeadapt.recipe import ExportConfig, Placement, Recipe
from edgeadapt.recipe.fields import settings_of

Run = Callable[..., Given]


def command(*names: str, **options: object) -> Callable[..., Given]:
    """A command with the options of these fields; returns what it was given."""
    caught: list[Given] = []

    def ran(given: Given, own: str = "") -> None:
        """Run it."""
        caught.append(given)

    made = typer.Typer()
    made.command()(takes(*names, **options)(ran))  # type: ignore[arg-type]

    def run(*arguments: str) -> Given:
        done = CliRunner().invoke(made, arguments)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return caught.pop()

    return run


def flags_of(name: str) -> set[str]:
    """Every option of a command."""
    params: Sequence[typer.core.TyperOption] = typer.main.get_command(app).commands[name].params  # type: ignore[attr-defined]
    return {flag for parameter in params for flag in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("table", ["model", "data", "adapter", "training"])
def test_train_has_an_option_for_every_field_that_declares_one(table: str) -> None:
    declared = {about.flag for about in settings_of(type(getattr(Recipe(), table))).values()}

    assert declared - {None} <= flags_of("train")


def test_export_has_an_option_for_every_field_of_its_table() -> None:
    declared = {about.flag for about in settings_of(ExportConfig).values()}

    assert {flag for flags in declared for flag in str(flags).split("/")} <= flags_of("export")


@pytest.mark.parametrize(
    ("arguments", "table"),
    [
        (("--quantize",), {"quantize": True}),
        (("--no-quantize",), {"quantize": False}),
        (("--without-torch",), {"with_torch": False}),
        (("--no-evaluation",), {"evaluation": False}),
        (("--evaluation",), {"evaluation": True}),
    ],
)
def test_a_switch_that_a_recipe_may_have_set_can_be_set_back(
    arguments: tuple[str, ...], table: dict[str, bool]
) -> None:
    assert command("export")(*arguments).table("export") == table


def test_no_two_fields_of_a_recipe_share_an_option() -> None:
    flags = [
        about.flag
        for table in fields(Recipe)
        if table.name != "export"  # an option of another command
        for about in settings_of(type(getattr(Recipe(), table.name))).values()
        if about.flag
    ]

    assert len(flags) == len(set(flags))


def test_what_was_given_is_told_by_table_and_field() -> None:
    given = command("model", "training")("--model", "a/b", "--epochs", "3", "--quant-aware")

    assert given.tables() == {
        "model": {"id": "a/b"},
        "training": {"epochs": 3, "quant_aware": True},
    }
    assert given.flags == ("--model", "--epochs", "--quant-aware")


def test_what_was_left_out_is_not_given() -> None:
    assert command("model", "data", "adapter", "training")() == Given({})


def test_a_value_has_the_type_of_its_field() -> None:
    given = command("adapter")("--placement", "ffn", "--scaling", "2")

    assert given.table("adapter") == {"placement": Placement.FFN, "scaling": 2.0}


def test_single_fields_are_taken() -> None:
    run = command("training.epochs", "data.revision")

    assert run("--epochs", "2", "--dataset-revision", "v1").values == {
        "training.epochs": 2,
        "data.revision": "v1",
    }
    with pytest.raises(AssertionError, match="No such option"):
        run("--seed", "1")


def test_a_field_that_does_not_exist_cannot_be_taken() -> None:
    with pytest.raises(AssertionError, match="epoch"):
        takes("training.epoch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "--epochs: expected at least 1, found 0."),
        (("--learning-rate", "nan"), "--learning-rate: expected a finite number, found nan."),
        (("--method", "magic"), "--method: unknown method 'magic'"),
        (("--backbone-layers", "0"), "--backbone-layers: expected at least 1, found 0."),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(
    arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        command("model", "adapter", "training")(*arguments)

    assert caught.value.message.startswith(message)


def test_a_command_may_say_in_its_own_words_what_an_option_is_and_read_it_itself() -> None:
    made = typer.Typer()
    own = takes("model.id", help={"model.id": "Mine."}, parsers={"model.id": str.upper})
    shown: list[Given] = []

    @made.command()
    @own
    def ran(given: Given) -> None:
        shown.append(given)

    assert "Mine." in CliRunner().invoke(made, ["--help"]).output
    CliRunner().invoke(made, ["--model", "a"])
    assert shown == [Given({"model.id": "A"})]


def test_given_values_are_told_apart_by_table_and_field() -> None:
    given = Given({"data.dataset": "a", "data.text_column": "b", "training.epochs": 1})

    assert given.of("data").values == {"data.dataset": "a", "data.text_column": "b"}
    assert given.of("data.dataset").values == {"data.dataset": "a"}
    assert given.without("data").values == {"training.epochs": 1}
    assert given.without("data.dataset", "training").values == {"data.text_column": "b"}


def test_a_name_is_resolved_where_it_was_given_and_is_not_empty() -> None:
    assert Given({"model.id": "a"}).mapped("model.id", str.upper) == Given({"model.id": "A"})
    assert Given({"model.id": ""}).mapped("model.id", str.upper) == Given({})
    assert Given({}).mapped("model.id", str.upper) == Given({})
