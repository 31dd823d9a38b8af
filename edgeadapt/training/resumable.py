"""A training that writes to a folder and can be resumed there after an interruption."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edgeadapt.errors import IntegrityError, MissingError, OutputExistsError
from edgeadapt.models.seeds import seeded
from edgeadapt.progress import Progress
from edgeadapt.recipe import Recipe
from edgeadapt.store import artifacts
from edgeadapt.store.folders import check_free, held, staged_folder
from edgeadapt.store.run import UNFINISHED, Run
from edgeadapt.training.checkpoints import Begun, Checkpoints
from edgeadapt.training.team import ALONE, Team

__all__ = ["Resumable", "is_blank"]


_MANIFESTS: Mapping[str, str] = MappingProxyType(
    {"edgeadapt train": Run.MANIFEST, "edgeadapt pretrain": "pretraining.json"}
)
"""Command -> the file that marks what it wrote."""


@dataclass(frozen=True)
class Resumable:
    """A training: its folder, and the command that resumes it.

    With several processes, only the leading one locks, checks and writes the folder.
    """

    command: str
    """The command, such as ``edgeadapt train``."""
    target: Path
    """The folder that is written at the end; until then a subfolder holds the checkpoints."""
    team: Team = ALONE

    def state(self, recipe: Recipe) -> Checkpoints:
        """Returns the folder of the training's checkpoints."""
        return Checkpoints(self._state_folder, every=recipe.training.checkpoint_steps)

    @property
    def has_state(self) -> bool:
        """Whether a checkpoint was saved."""
        return self._any_state.exist()

    @property
    def _state_folder(self) -> Path:
        return self.target / UNFINISHED

    @property
    def _any_state(self) -> Checkpoints:
        return Checkpoints(self._state_folder, every=0)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Locks the target against other commands for the block.

        Raises:
            OutputExistsError: Another command is writing it.
        """
        with held(self.target) if self.team.leads else nullcontext():
            yield

    def claim(self, *, force: bool) -> None:
        """Checks that a new training may write the target.

        The folder of a training that was killed before its first checkpoint is overwritten, as
        there is nothing to resume.

        Raises:
            OutputExistsError: The target exists, or is an unfinished training, and ``force`` is not
                set.
        """
        if not self.team.leads or is_blank(self.target):
            return
        if not force and self.has_state:
            raise OutputExistsError(
                f"{self.target} holds an unfinished training.",
                hint=f"Resume it with: {self.command} --resume {self.target}  or start over with "
                "--force.",
            )
        if force and self.has_state and _names(self.target) == [UNFINISHED]:
            return
        check_free(self.target, force=force, known_by=_MANIFESTS[self.command])

    def begun(self) -> Begun:
        """Returns the inputs of the interrupted training.

        Raises:
            MissingError: There is none, or it belongs to another command.
            LayoutError: Its files are damaged, or newer than this edgeadapt.
        """
        if not self._state_folder.is_dir():
            raise MissingError(
                f"{self.target} holds no unfinished training: nothing to resume.",
                hint=self._instead(),
            )
        begun = self._any_state.begun()
        if begun.command != self.command:
            raise MissingError(
                f"{self.target} was begun by another command: expected {self.command}, found "
                f"{begun.command}.",
                hint=f"Resume it with: {begun.command} --resume {self.target}",
            )
        return begun

    def _instead(self) -> str:
        """Returns a hint for a folder without a training to resume."""
        if any((self.target / name).is_file() for name in _MANIFESTS.values()):
            return "It is finished. To start over, repeat the original command with --force."
        homes = (
            ("edgeadapt train", artifacts.runs()),
            ("edgeadapt pretrain", artifacts.checkpoints()),
        )
        for command, folder in homes:
            if command != self.command and (folder / self.target.name / UNFINISHED).is_dir():
                return f"Resume it with: {command} --resume {self.target.name}"
        return "Name the folder of a training that was stopped, or start one without --resume."

    def check_same(self, begun: Begun, sha256: Mapping[str, str]) -> None:
        """Checks that the inputs of a resumed training have not changed.

        Args:
            begun: The inputs at the start of the training.
            sha256: Input -> its hash now.

        Raises:
            IntegrityError: An input has changed.
        """
        sources = {
            "data": begun.recipe.data.dataset,
            "texts": str(begun.text.path) if begun.text else "",
        }
        for name, found in sha256.items():
            expected = begun.sha256.get(name)
            if expected != found:
                source = sources.get(name, begun.recipe.model.id)
                raise IntegrityError(
                    f"{self.target}: the {name} changed since this training was begun: expected "
                    f"sha256 {expected}, found {found} ({source}).",
                    hint="Restore the original, or start over with --force.",
                )

    @contextmanager
    def written(self, begun: Begun, *, anew: bool) -> Iterator[Path | None]:
        """Seeds the block in which the model is trained, and yields a folder for the results.

        The folder is renamed to the target when the block ends. If the block fails, the checkpoints
        are kept.

        Args:
            begun: The inputs of the training.
            anew: Whether to remove the checkpoints of an earlier training in this folder.

        Yields:
            The folder; ``None`` in a process that does not lead.
        """
        training, folder = begun.recipe.training, None
        with ExitStack() as stack:
            if self.team.leads:
                stack.enter_context(self.state(begun.recipe).kept(begun, anew=anew))
                folder = stack.enter_context(staged_folder(self.target, force=True, lock=False))
            # Wait for the leading process, so that none reads a checkpoint that it is removing.
            self.team.agreed("begun")
            stack.enter_context(seeded(training.seed, threads=training.threads))
            yield folder
        self.team.agreed("written")

    @contextmanager
    def explained(self, progress: Progress) -> Iterator[None]:
        """Prints how to resume if the block is interrupted after a checkpoint."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if self.has_state:
                progress.warn(f"Interrupted. Resume with: {self.command} --resume {self.target}")
            raise


def is_blank(target: Path) -> bool:
    """Returns whether a folder holds only a training that was killed before its first checkpoint.

    Such a folder can be overwritten without loss.
    """
    state = Checkpoints(target / UNFINISHED, every=0)
    return state.folder.is_dir() and not state.exist() and _names(target) == [UNFINISHED]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
