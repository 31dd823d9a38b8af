"""Makes a virtual environment and installs edgeadapt with some extras into it, once.

    python3 scripts/install.py .venv train optimum demo
    python3 scripts/install.py --wheel .venv-bare

A note inside the environment says what is installed and from which files. It is removed before
pip starts and written when pip is done, so an install that broke off is started afresh, a
finished one is reused, and one whose pyproject.toml or constraints have changed since is brought
up to date. Standard library only: this runs before anything is installed.

With ``--wheel`` the environment is always made afresh, and what is installed is a wheel built from
the checkout, as a user gets it: a file that the wheel lacks is missing there too.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTE = "edgeadapt-install.json"


def main(folder: str, *extras: str) -> None:
    """Brings the environment in ``folder`` to hold edgeadapt with at least ``extras``."""
    environment = Path(folder).resolve()
    constraints = _constraints()
    note = environment / NOTE
    fingerprint = _fingerprint(constraints)
    installed = _read(note)
    wanted = sorted(set(installed.get("extras", [])) | set(extras))
    if installed == {"fingerprint": fingerprint, "extras": wanted}:
        return
    if not installed:
        _create(environment)
    note.unlink(missing_ok=True)
    package = f"{ROOT}[{','.join(wanted)}]" if wanted else str(ROOT)
    print(f"Installing edgeadapt[{','.join(wanted)}] into {folder} …", flush=True)
    command = ["install", "--editable", package, "--constraint", constraints]
    if index := os.environ.get("TORCH_INDEX"):
        command += ["--extra-index-url", index]
    _pip(environment, *command)
    note.write_text(json.dumps({"fingerprint": fingerprint, "extras": wanted}) + "\n")


def install_wheel(folder: str) -> None:
    """Makes the environment in ``folder`` anew, with a wheel of edgeadapt and what it needs."""
    environment = Path(folder).resolve()
    _create(environment)
    print(f"Building a wheel of edgeadapt and installing it into {folder} …", flush=True)
    with tempfile.TemporaryDirectory() as built:
        _pip(environment, "wheel", "--no-deps", "--wheel-dir", built, ROOT)
        (wheel,) = Path(built).glob("*.whl")
        _pip(environment, "install", wheel, "--constraint", _constraints())


def _constraints() -> Path:
    return ROOT / (os.environ.get("CONSTRAINTS") or "constraints.txt")


def _pip(environment: Path, command: str, *arguments: "str | Path") -> None:
    pip = [environment / "bin" / "python", "-m", "pip", command, "--quiet"]
    pip.append("--disable-pip-version-check")
    if subprocess.run([*pip, *arguments], check=False).returncode:
        sys.exit("error: pip failed (see above). Run the same command again when it is fixed.")


def _check_python() -> None:
    if sys.version_info < (3, 11):
        sys.exit(
            f"error: edgeadapt needs Python 3.11 or newer, found {sys.version.split()[0]} at "
            f"{sys.executable}.\nhint: make … PYTHON=python3.12"
        )


def _create(environment: Path) -> None:
    """Makes an empty environment, in place of whatever a broken-off install left."""
    try:
        import ensurepip  # noqa: F401
        import venv
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: this Python ({sys.executable}) has no {error.name} module.\n"
            f"hint: on Debian and Ubuntu, install it with: apt install python3-venv"
        )
    if environment.exists():
        if not (environment / "pyvenv.cfg").exists() and any(environment.iterdir()):
            sys.exit(f"error: {environment} is in the way and is not a virtual environment.")
        shutil.rmtree(environment)
    venv.create(environment, with_pip=True)


def _fingerprint(constraints: Path) -> str:
    """Changes when the dependencies, the interpreter or the index do."""
    digest = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", constraints):
        digest.update(path.read_bytes())
    digest.update(f"{sys.version} {os.environ.get('TORCH_INDEX', '')} {ROOT}".encode())
    return digest.hexdigest()


def _read(note: Path) -> dict[str, object]:
    try:
        return dict(json.loads(note.read_text()))
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    _check_python()
    if sys.argv[1] == "--wheel":
        install_wheel(sys.argv[2])
    else:
        main(*sys.argv[1:])
