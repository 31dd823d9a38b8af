"""A training that writes to a folder, and can be resumed there after it was stopped."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.errors import IntegrityError, MissingError, OutputExistsError
from edgeadapt.models.seeds import seeded
from edgeadapt.progress import Progress
from edgeadapt.recipe import Recipe
from edgeadapt.store import artifacts
from edgeadapt.store.folders import check_free, held, staged_folder
from edgeadapt.store.run import UNFINISHED
from edgeadapt.training.checkpoints import Begun, Checkpoints
from edgeadapt.training.team import ALONE, Team

__all__ = ["Resumable", "is_blank"]


@dataclass(frozen=True)
class Resumable:
    """One training: its folder, and the command that resumes it.

    Of several processes the leading one locks, claims and writes.
    """

    command: str
    """Such as ``edgeadapt train``."""
    target: Path
    """What it writes when it is finished; until then its state is in a folder below."""
    team: Team = ALONE

    def state(self, recipe: Recipe) -> Checkpoints:
        """Returns where the state is kept while it is trained."""
        return Checkpoints(self._state_folder, every=recipe.training.checkpoint_steps)

    @property
    def has_state(self) -> bool:
        """Whether a state was saved."""
        return self._any_state.exist()

    @property
    def _state_folder(self) -> Path:
        return self.target / UNFINISHED

    @property
    def _any_state(self) -> Checkpoints:
        return Checkpoints(self._state_folder, every=0)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other commands from writing the target for the block.

        Raises:
            OutputExistsError: Another one is writing it.
        """
        with held(self.target) if self.team.leads else nullcontext():
            yield

    def claim(self, *, force: bool) -> None:
        """Makes sure that a new training overwrites nothing that it may not.

        One that was killed before its first state has nothing to resume: its folder is taken over.

        Raises:
            OutputExistsError: There is an unfinished training, or anything else.
        """
        if not self.team.leads or is_blank(self.target):
            return
        if not force and self.has_state:
            raise OutputExistsError(
                f"{self.target} holds a training that was not finished.",
                hint=f"Go on with: {self.command} --resume {self.target}  or begin anew with "
                "--force.",
            )
        check_free(self.target, force=force)

    def begun(self) -> Begun:
        """Returns what a training that was stopped was begun with.

        Raises:
            MissingError: There is none, or another command's.
            LayoutError: It is damaged, or newer than this edgeadapt.
        """
        if not self._state_folder.is_dir():
            raise MissingError(
                f"{self.target} holds no unfinished training: nothing to go on with.",
                hint=self._instead(),
            )
        begun = self._any_state.begun()
        if begun.command != self.command:
            raise MissingError(
                f"{self.target} was begun by another command: expected {self.command}, found "
                f"{begun.command}.",
                hint=f"Go on with: {begun.command} --resume {self.target}",
            )
        return begun

    def _instead(self) -> str:
        """Says what to do where there is nothing to resume."""
        if any((self.target / name).is_file() for name in ("run.json", "pretraining.json")):
            return "It is finished. To begin anew, give the command that made it, with --force."
        homes = (
            ("edgeadapt train", artifacts.runs()),
            ("edgeadapt pretrain", artifacts.checkpoints()),
        )
        for command, folder in homes:
            if command != self.command and (folder / self.target.name / UNFINISHED).is_dir():
                return f"Go on with: {command} --resume {self.target.name}"
        return "Name the folder of a training that was stopped, or begin one without --resume."

    def check_same(self, begun: Begun, sha256: Mapping[str, str]) -> None:
        """Checks that a training is resumed with what it was begun with.

        Args:
            begun: What it was begun with.
            sha256: What has to be the same -> its hash now.

        Raises:
            IntegrityError: Something is another one now.
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
                    hint="Bring it back as it was, or begin anew with --force.",
                )

    @contextmanager
    def written(self, begun: Begun, *, anew: bool) -> Iterator[Path | None]:
        """The seeded block in which it is trained, and the folder to write what it made into.

        The folder takes the target's name when the block ends. Where it fails, the states that
        were saved stay.

        Args:
            begun: What is trained.
            anew: Forget the states of whatever was trained here before.

        Yields:
            The folder; ``None`` for a process that does not lead.
        """
        training, folder = begun.recipe.training, None
        with ExitStack() as stack:
            if self.team.leads:
                stack.enter_context(self.state(begun.recipe).kept(begun, anew=anew))
                folder = stack.enter_context(staged_folder(self.target, force=True, lock=False))
            self.team.agreed("begun")  # nobody looks for a state that is about to be forgotten
            stack.enter_context(seeded(training.seed, threads=training.threads))
            yield folder
        self.team.agreed("written")

    @contextmanager
    def explained(self, progress: Progress) -> Iterator[None]:
        """Says how to resume, where the block is interrupted and a state was saved."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if self.has_state:
                progress.warn(f"Interrupted. Go on with: {self.command} --resume {self.target}")
            raise


def is_blank(target: Path) -> bool:
    """Returns whether a folder holds nothing but a training that was killed before its first state.

    Nothing is lost where another one takes its place.
    """
    state = Checkpoints(target / UNFINISHED, every=0)
    return state.folder.is_dir() and not state.exist() and list(target.iterdir()) == [state.folder]
