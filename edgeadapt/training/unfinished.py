"""Trainings that are not finished: where their state is, and what it takes to go on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeadapt.errors import IntegrityError, MissingError, OutputExistsError
from edgeadapt.progress import Progress
from edgeadapt.recipe import Recipe
from edgeadapt.store import artifacts
from edgeadapt.store.folders import check_free
from edgeadapt.store.run import UNFINISHED
from edgeadapt.training.checkpoints import Checkpoints

__all__ = ["check_same", "claim", "explained", "is_blank", "state_of", "stopped"]


def state_of(target: Path, recipe: Recipe) -> Checkpoints:
    """Returns where a training keeps its state while it writes to ``target``."""
    return Checkpoints(target / UNFINISHED, every=recipe.training.checkpoint_steps)


def stopped(target: Path, *, command: str) -> tuple[Recipe, Mapping[str, Any]]:
    """Returns the recipe of a training that was stopped, and what else it was begun with.

    Raises:
        MissingError: There is none, or another command's.
        LayoutError: It is damaged, or newer than this edgeadapt.
    """
    folder = target / UNFINISHED
    if not folder.is_dir():
        raise MissingError(
            f"{target} holds no unfinished training: nothing to go on with.",
            hint=_instead(target, command),
        )
    about = Checkpoints(folder, every=0).about()
    begun = about["command"]
    if begun != command:
        raise MissingError(
            f"{target} was begun by another command: expected {command}, found {begun}.",
            hint=f"Go on with: {begun} --resume {target}",
        )
    return Recipe.from_recorded(about["recipe"], origin=str(folder)), about


def _instead(target: Path, command: str) -> str:
    """Says what to do where there is nothing to go on with."""
    if any((target / name).is_file() for name in ("run.json", "pretraining.json")):
        return "It is finished. To begin anew, give the command that made it, with --force."
    homes = (("edgeadapt train", artifacts.runs()), ("edgeadapt pretrain", artifacts.checkpoints()))
    for begun, folder in homes:
        if begun != command and (folder / target.name / UNFINISHED).is_dir():
            return f"Go on with: {begun} --resume {target.name}"
    return "Name the folder of a training that was stopped, or begin one without --resume."


def is_blank(target: Path) -> bool:
    """Returns whether a folder holds nothing but a training that was killed before its first state.

    Nothing is lost where another one takes its place.
    """
    state = Checkpoints(target / UNFINISHED, every=0)
    return state.folder.is_dir() and not state.exist() and list(target.iterdir()) == [state.folder]


def claim(target: Path, state: Checkpoints, *, force: bool, command: str) -> None:
    """Makes sure that a new training overwrites nothing that it may not.

    One that was killed before its first state has nothing to go on with: its folder is taken over.

    Raises:
        OutputExistsError: There is a training that was not finished, or anything else.
    """
    if is_blank(target):
        return
    if not force and state.exist():
        raise OutputExistsError(
            f"{target} holds a training that was not finished.",
            hint=f"Go on with: {command} --resume {target}  or begin anew with --force.",
        )
    check_free(target, force=force)


def check_same(target: Path, about: Mapping[str, Any], found: Mapping[str, str]) -> None:
    """Checks that a training goes on with what it was begun with.

    Args:
        target: What it writes.
        about: What ``stopped`` returned.
        found: Name of each thing that has to be the same -> its SHA-256 now.

    Raises:
        IntegrityError: Something is another one now.
    """
    recipe = about["recipe"]
    sources = {"data": recipe["data"]["dataset"], "texts": about.get("text")}
    for name, sha256 in found.items():
        if about[name] != sha256:
            source = sources.get(name, recipe["model"]["id"])
            raise IntegrityError(
                f"{target}: the {name} changed since this training was begun: expected sha256 "
                f"{about[name]}, found {sha256} ({source}).",
                hint="Bring it back as it was, or begin anew with --force.",
            )


@contextmanager
def explained(
    target: Path, state: Checkpoints, *, command: str, progress: Progress
) -> Iterator[None]:
    """Says how to go on, where the block is interrupted and a state was saved."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if state.exist():
            progress.warn(f"Interrupted. Go on with: {command} --resume {target}")
        raise
