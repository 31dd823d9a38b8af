"""Write the tables and figures of the documents from the records.

    python benchmarks/tables.py            # rewrite the README, docs/ and the notes
    python benchmarks/tables.py --check    # exit with 1 where one differs from the records

Each script declares its tables and figures (``SHOWN``). This script collects them, and adds those
that span several scripts: the summary, and the aims that were missed.
"""

import sys
from pathlib import Path

import accuracy
import backbones
import bench
import compression
import compression_peers
import cores
import early_exit
import footprint
import gpu
import kinds
import latency
import layer_costs
import loadgen
import measuring
import portable
import quantization
import ranking
import recovery
import reviews
import stability
import training
from common import Make, Shown, table
from marked import recorded, render

__all__ = ["FIGURES", "SCRIPTS", "TABLES", "documents"]

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = (
    accuracy,
    quantization,
    portable,
    training,
    latency,
    bench,
    footprint,
    backbones,
    compression,
    compression_peers,
    cores,
    early_exit,
    gpu,
    kinds,
    layer_costs,
    loadgen,
    measuring,
    ranking,
    recovery,
    reviews,
    stability,
)
"""All scripts, in the order of the summary and of the missed aims."""
SHOWN: tuple[Shown, ...] = tuple(script.SHOWN for script in SCRIPTS)


def main() -> None:
    for path in documents():
        name = path.relative_to(ROOT).as_posix()
        before = path.read_text(encoding="utf-8")
        after = render(before, TABLES.get(name, {}), FIGURES, where=name)
        if "--check" not in sys.argv:
            path.write_text(after, encoding="utf-8")
        elif after != before:
            sys.exit(f"{name} does not show the recorded results: run python benchmarks/tables.py")


def documents() -> list[Path]:
    """Returns all pages that may contain tables or figures."""
    folders = (ROOT / "docs", ROOT / "benchmarks")
    return [
        ROOT / "README.md",
        *(path for folder in folders for path in sorted(folder.rglob("*.md"))),
    ]


def summary() -> str:
    """The targets of edgeadapt, and the results."""
    lines = [
        (line.what, line.aim, recorded(line.measured))
        for shown in SHOWN
        for line in shown.headlines
    ]
    return table(("what", "aim", "measured"), lines)


def misses() -> str:
    """Every aim that was missed, a line for each page of results."""
    pages: dict[str, list[str]] = {}
    for shown in SHOWN:
        for page, aims in shown.aims.items():
            missed = [f"{aim.what} ({aim.measured})" for aim in aims() if aim.missed]
            pages.setdefault(page, []).extend(missed)
    lines = [
        (f"[{page.replace('-', ' ')}](docs/results/{page}.md)", "; ".join(missed))
        for page, missed in pages.items()
        if missed
    ]
    return table(("", "aims that were missed"), lines)


def all_tables() -> dict[str, dict[str, Make]]:
    """Returns document -> name of a table -> function that renders it."""
    found: dict[str, dict[str, Make]] = {
        "README.md": {"summary": summary, "misses": misses},
        "docs/results/index.md": {"summary": summary},
    }
    for shown in SHOWN:
        for document, tables in shown.tables.items():
            found.setdefault(document, {}).update(tables)
    return found


TABLES = all_tables()
FIGURES: dict[str, Make] = {name: make for shown in SHOWN for name, make in shown.figures.items()}


if __name__ == "__main__":
    main()
