"""Writes constraints that hold each dependency at the lowest version that pyproject.toml allows.

    python3 scripts/lowest_versions.py build/constraints-lowest.txt train test
    python3 scripts/lowest_versions.py build/constraints-lowest.txt train test --keep torch

Each ``>=X`` of the base install and of the extras named becomes ``==X``, so the bounds stand in one
place only. What those packages need in turn is left to pip. Packages behind ``--keep`` have the
version of constraints.txt instead. Standard library only: this runs before anything is installed.
"""

import argparse
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BOUND = re.compile(r">=\s*([0-9]+(?:\.[0-9]+)*)")
_OWN = re.compile(r"edgeadapt\[(.*)\]")
"""Extras that an extra includes."""


def main() -> None:
    """Writes the constraints of the project into a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--keep", nargs="*", default=[])
    given = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    if unknown := sorted(set(given.extras) - set(optional)):
        parser.error(f"expected extras of {sorted(optional)}, found {unknown}")
    wanted = [*project["dependencies"], *brought_by(given.extras, optional)]
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lowest(wanted) if package(line) not in given.keep]
    lines += [line for line in tested if package(line) in given.keep]
    given.file.parent.mkdir(parents=True, exist_ok=True)
    given.file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def brought_by(extras: Iterable[str], optional: Mapping[str, list[str]]) -> Iterator[str]:
    """Yields the requirements of extras, and of those that they include."""
    for requirement in (line for extra in extras for line in optional[extra]):
        if own := _OWN.fullmatch(requirement):
            yield from brought_by(own[1].split(","), optional)
        else:
            yield requirement


def lowest(requirements: Iterable[str]) -> list[str]:
    """Returns ``NAME==VERSION`` of each requirement that has a lower bound, sorted by name.

    The highest bound counts where several requirements name one package, since all must hold.
    """
    bounds: dict[str, str] = {}
    for requirement in requirements:
        if bound := _BOUND.search(requirement):
            name = package(requirement)
            bounds[name] = max(bounds.get(name, "0"), bound[1], key=_numbers)
    return [f"{name}=={version}" for name, version in sorted(bounds.items())]


def package(requirement: str) -> str:
    """Returns the name that a requirement begins with; nothing for a comment."""
    name = _NAME.match(requirement)
    return name[0].lower() if name else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    main()
