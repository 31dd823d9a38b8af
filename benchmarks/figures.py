"""Figures that stand inside sentences of the documents, each from a record or from the package."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from common import load, machine_name
from marked import Make, fastest

from edgeadapt.bench.compare import RERUN_SPREAD

__all__ = ["FIGURES"]


def stability_p50() -> str:
    """How far p50 of a run was from the median of all, at most."""
    rows = [row for row in load("stability")["rows"] if row["percentile"] == "p50"]
    return f"{max(row['largest_deviation'] for row in rows):.0%}"


def stability_runs() -> str:
    return str(sum(run["counts"] for run in load("stability")["runs"]))


def loadgen_p90() -> str:
    """How far p90 is from the load generator's, on the same samples."""
    (row,) = (row for row in load("loadgen")["rows"] if row["percentile"] == "p90")
    return f"{row['same_samples']:.1%}"


def static_faster() -> str:
    """How many times as fast as int8 static embeddings are, on SST-2's sentences."""
    static, ours = (fastest(row["process_medians_ms"]["sst2"]) for row in _static_and_ours())
    return f"{ours / static:.0f}"


def static_points() -> str:
    """How many points of accuracy fewer static embeddings have."""
    static, ours = (row["test_accuracy"] for row in _static_and_ours())
    return f"{100 * (ours - static):.1f}"


def _static_and_ours() -> list[dict[str, Any]]:
    found = load("latency")
    newest = machine_name(found["machine"])
    rows = {
        row["contender"]: row
        for row in found["rows"]
        if (row["machine"], row["shape"], row["threads"]) == (newest, "MiniLM-L6", 2)
    }
    return [rows[name] for name in ("model2vec static embeddings", "edgeadapt int8")]


def kinds_rounds() -> str:
    return str(load("kinds")["plan"]["rounds"])


def portable_texts() -> str:
    return str(len(load("portable")["rows"][0]["labels"]))


def trained_share() -> str:
    """Share of the parameters that the default adapters train."""
    rows = load("accuracy")["rows"]
    default = [row for row in rows if (row["dataset"], row["recipe"]) == ("sst2", "adapter")]
    return f"{fmean(row['trainable_parameters'] / row['total_parameters'] for row in default):.0%}"


FIGURES: Mapping[str, Make] = {
    "kinds-rounds": kinds_rounds,
    "loadgen-p90": loadgen_p90,
    "portable-texts": portable_texts,
    "rerun-spread": lambda: f"{RERUN_SPREAD:.0%}",
    "stability-p50": stability_p50,
    "stability-runs": stability_runs,
    "static-faster": static_faster,
    "static-points": static_points,
    "trained-share": trained_share,
}
"""Name of a figure in the documents -> what makes it."""
