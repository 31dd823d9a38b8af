"""Writes the documents' tables and figures from the records, so that none is typed by hand.

python benchmarks/tables.py            # rewrite the README, docs/ and the notes
python benchmarks/tables.py --check    # exit 1 when one differs from the results
"""

import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

from aims import (
    accuracy_aims,
    latency_aims,
    misses,
    portable_verdict,
    quantization_aims,
    training_aims,
)
from common import RESULTS, load, machine_name
from figures import FIGURES
from marked import Make, fastest, recorded, render, rows_of, spread, table
from rich.console import Console

from edgeadapt.bench.noise import disturbances
from edgeadapt.bench.plan import PLANS, Effort, Plan
from edgeadapt.bench.rows import rows
from edgeadapt.cli.tables import bench_table
from edgeadapt.measure.statistics import MIN_SAMPLES_P99
from edgeadapt.record import Record

ROOT = Path(__file__).resolve().parents[1]


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
    """Every page that may hold tables or figures."""
    folders = (ROOT / "docs", ROOT / "benchmarks")
    return [
        ROOT / "README.md",
        *(path for folder in folders for path in sorted(folder.rglob("*.md"))),
    ]


def summary() -> str:
    """What edgeadapt aims at, and what was measured."""
    rows = (
        ("SST-2 test accuracy, the default adapters", "≥ 87.5 %", sst2_accuracy("adapter")),
        ("… of full fine-tuning", "", sst2_accuracy("full")),
        ("… share of parameters trained", "≤ 4 %", trained_share),
        ("int8 against fp32, same test set: accuracy drop", "≤ 0.5 points", int8_drop),
        ("… labels the same", "≥ 97 %", int8_agreement),
        ("int8 against torch eager fp32 of the full fine-tune, 16 tokens", "≥ 3.5 ×", faster("16")),
        ("… 128 tokens", "≥ 2.2 ×", faster("128")),
        ("`edgeadapt predict`, int8, base install, exec to exit", "≤ 0.40 s", predict_seconds),
        ("… peak memory", "≤ 115 MB", predict_megabytes),
        ("base install, without pip and setuptools", "≤ 240 MB", install_megabytes),
        ("slowest `--help`", "≤ 0.5 s", help_seconds),
    )
    return table(
        ("what", "aim", "measured"), [(what, aim, recorded(figure)) for what, aim, figure in rows]
    )


def sst2_accuracy(recipe: str) -> Callable[[], str]:
    """Returns a recipe's accuracy on test text."""

    def figure() -> str:
        return shares(row["test_accuracy"] for row in rows_of("accuracy", **SST2, recipe=recipe))

    return figure


def trained_share() -> str:
    row, *_ = rows_of("accuracy", **SST2, recipe="adapter")
    return f"**{row['trainable_parameters'] / row['total_parameters']:.2%}**"


def int8_drop() -> str:
    drops = [100 * row["test"]["accuracy_drop"] for row in int8_rows()]
    seeds = ", ".join(f"{value:.2f}" for value in drops)
    return f"**{fmean(drops):.2f} points** ({seeds})"


def int8_agreement() -> str:
    return shares(row["test"]["label_agreement"] for row in int8_rows())


def int8_rows() -> list[dict[str, Any]]:
    return rows_of("quantization", **SST2, way="default")


def shares(values: Iterable[float]) -> str:
    """Returns the mean over the seeds, and the seeds' own."""
    values = list(values)
    return f"**{fmean(values):.2%}** ({', '.join(f'{value:.2%}' for value in values)})"


def faster(tokens: str) -> Callable[[], str]:
    """Returns p50 of torch eager (full fine-tune) over p50 of int8 (adapters), and its range."""

    def figure() -> str:
        record = bench_record()
        samples = {(sample.method, sample.variant): sample for sample in record.samples}
        eager, int8 = (
            [median(process) for process in samples[which].latency_ns[tokens]]
            for which in (("full", "torch"), ("parallel+bitfit", "int8"))
        )
        rounds = [slow / fast for slow, fast in zip(eager, int8, strict=True)]
        return (
            f"**{median(eager) / median(int8):.2f} ×** "
            f"(rounds: {min(rounds):.1f} to {max(rounds):.1f})"
        )

    return figure


def predict_seconds() -> str:
    processes = load("footprint")["processes"]
    floor = processes["onnxruntime alone"]["median_s"]
    return (
        f"**{processes['predict']['median_s']:.2f} s** "
        f"(onnxruntime and tokenizers alone: {floor:.2f} s)"
    )


def predict_megabytes() -> str:
    return f"**{load('footprint')['processes']['predict']['median_peak_mb']:.0f} MB**"


def install_megabytes() -> str:
    return f"**{load('footprint')['install_megabytes']:.0f} MB**"


def help_seconds() -> str:
    processes = load("footprint")["processes"]
    slowest = max(v["median_s"] for name, v in processes.items() if "--help" in name)
    return f"**{slowest:.2f} s**"


def reviews() -> str:
    """Scores on the embedded reviews."""
    found = load("reviews")["rows"]
    kinds = list(found[0]["test_accuracy_by_kind"])
    lines = []
    for method in ("head", "parallel", "full"):
        mine = [row for row in found if row["method"] == method]
        share = mine[0]["trainable_parameters"] / mine[0]["total_parameters"]
        lines.append(
            (
                method,
                f"{share:.2%}",
                f"{fmean(row['test_accuracy'] for row in mine):.1%}",
                " / ".join(f"{row['test_accuracy']:.1%}" for row in mine),
                *(
                    f"{fmean(row['test_accuracy_by_kind'][kind] for row in mine):.0%}"
                    for kind in kinds
                ),
            )
        )
    return table(("method", "trained", "test accuracy", "three seeds", *kinds), lines)


def bench() -> str:
    """What ``edgeadapt bench`` measured of adapters and full fine-tuning."""
    record = bench_record()
    lengths = ("16", "32", "64", "128", "text")
    lines = [
        (
            f"{row.method} {row.variant}" + (" (baseline)" if row.is_baseline else ""),
            row.engine,
            f"{row.accuracy:.2%}",
            *(f"{row.latency_ms[n].p50:.2f} / {row.latency_ms[n].p90:.2f}" for n in lengths),
            f"{row.first_label_s:.2f}",
            f"{row.peak_mb:.0f}",
            f"{row.bytes / 1e6:.1f}",
        )
        for row in rows(record)
    ]
    headers = (
        "model",
        "engine",
        "accuracy",
        "16",
        "32",
        "64",
        "128",
        "real texts",
        "first label s",
    )
    return (
        table((*headers, "peak MB", "model MB"), lines)
        + f"\n\n{machine_name(record.machine)}, {record.threads} threads, batch 1; p50 / p90 in ms "
        f"over fixed token counts and over {record.evaluation['texts']:,} real texts with "
        f"tokenization; {record.created[:10]}."
        + "".join(f"\n\nNote by `bench`: {note}." for note in disturbances(record))
    )


def bench_sample() -> str:
    """The first table that ``edgeadapt bench`` prints of the adapters' and torch's variants."""
    record = bench_record()
    shown = [row for row in rows(record) if row.method != "full" or row.engine.startswith("torch")]
    console = Console(width=100, color_system=None, record=True, file=io.StringIO())
    console.print(bench_table(shown, record).renderables[0])
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(["```text", *filter(None, lines), "```"])


def modes() -> str:
    """What each size of the benchmark's plan measures."""
    plans = [PLANS[effort] for effort in Effort]

    def count(plan: Plan, name: str) -> str:
        value = getattr(plan, name)
        return ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value:,g}"

    rows = (
        ("fresh processes for latency", "rounds"),
        ("… token counts", "lengths"),
        ("… timed runs at each, per process", "repeats"),
        ("… real texts answered one by one, per process", "timed"),
        ("texts that accuracy is measured on, at most", "texts"),
        ("cold starts, process start to first label", "starts"),
        ("processes for throughput", "bulks"),
        ("… batch sizes, texts of similar length together", "batches"),
        ("… real texts at each", "bulk"),
        ("… texts of the leak check, per process", "calls"),
        ("processes per number of threads, 1 to all", "scaling"),
        ("least seconds of real texts, one by one and in bulk", "seconds"),
    )
    lines = [(title, *(count(plan, name) for plan in plans)) for title, name in rows]
    samples = [plan.rounds * max(plan.repeats, plan.timed) for plan in plans]
    lines.append(("p99", *("yes" if n >= MIN_SAMPLES_P99 else "insufficient" for n in samples)))
    return table(("per variant", "`--quick`", "default", "`--thorough`"), lines)


def latency(where: Callable[[dict[str, Any], str], bool]) -> str:
    """Every contender's milliseconds, and how many times as long as ours they are.

    Args:
        where: A row and the name of the machine of the latest run -> whether it is shown.
    """
    found = load("latency")
    newest = machine_name(found["machine"])
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in found["rows"]:
        if where(row, newest):
            groups.setdefault((row["machine"], row["shape"], row["threads"]), []).append(row)
    if not groups:
        raise FileNotFoundError
    return "\n\n".join(
        latency_table(rows, shape)
        + f"\n\n{machine}, {threads} thread{'s' * (threads > 1)}, {found['rounds']} interleaved "
        "rounds of fresh processes; each figure is the mean of the fastest third of their medians."
        for (machine, shape, threads), rows in groups.items()
    )


def latency_table(rows: Sequence[dict[str, Any]], shape: str) -> str:
    ours = rows[0]["process_medians_ms"]
    scored = any(row.get("test_accuracy") is not None for row in rows)
    lines = []
    for row in rows:
        if "error" in row:
            lines.append(
                (row["contender"], f"failed: {row['error']}", *[""] * (len(ours) + scored))
            )
            continue
        times = (
            f"{fastest(times):.2f}"
            + (f" ({fastest(times) / fastest(ours[name]):.2f} ×)" if row is not rows[0] else "")
            for name, times in row["process_medians_ms"].items()
        )
        accuracy = row.get("test_accuracy")
        lines.append(
            (
                row["contender"],
                *times,
                *(["" if accuracy is None else f"{accuracy:.1%}"] if scored else []),
                "" if row["labels_as_fp32"] is None else f"{row['labels_as_fp32']:.1%}",
                f"{row['bytes'] / 1e6:.0f}",
            )
        )
    headers = (f"{shape}, ms at batch 1", *ours, *(["accuracy"] if scored else []))
    return table((*headers, "labels = fp32's", "MB"), lines)


def on_two_threads(row: dict[str, Any], newest: str) -> bool:
    return bool(row["threads"] == 2 and row["machine"] == newest)


def elsewhere(row: dict[str, Any], newest: str) -> bool:
    return not on_two_threads(row, newest)


def stability() -> str:
    """How many of ten runs are as close to their median as they should be."""
    found = load("stability")
    runs = sum(run["counts"] for run in found["runs"])
    lines = []
    for percentile, limit in found["within"].items():
        rows = [row for row in found["rows"] if row["percentile"] == percentile]
        worst = max(rows, key=lambda row: row["largest_deviation"])
        met = sum(row["runs_within"] >= runs - 1 for row in rows)
        lines.append(
            (
                f"{percentile} within {limit:.0%} in nine of ten runs",
                f"{met} of {len(rows)} figures",
                f"{min(row['runs_within'] for row in rows)} of {runs}",
                f"{worst['largest_deviation']:.1%}, {worst['variant']} at {worst['scenario']}",
            )
        )
    return table(("", "met by", "fewest runs", "largest deviation"), lines) + (
        f"\n\n{machine_name(found['machine'])}; {found['created'][:10]}. "
        f"{len(found['runs']) - runs} further runs are left out, because they were disturbed or "
        "the cores were farther from each other."
    )


def cores() -> str:
    """Latencies with the cores near to each other, and far."""
    found = load("cores")
    kinds = [name for name in found["rows"][0] if "thread" in name]
    lines = [
        (
            row["cores"],
            str(row["looks"]),
            f"{row['signal_ns']:.0f}",
            *(f"{row[kind]:.2f}" for kind in kinds),
        )
        for row in found["rows"]
    ]
    headers = ("cores", "looks", "signal, ns", *(f"{kind}, ms" for kind in kinds))
    return table(headers, lines) + f"\n\n{machine_name(found['machine'])}."


def loadgen() -> str:
    """Our estimator beside the load generator's."""
    found = load("loadgen")
    lines = [
        (
            row["percentile"],
            f"{row['same_samples']:.2%}",
            f"{row['separate_runs']:+.1%}",
            f"{row['rerun_spread']:.1%}",
        )
        for row in found["rows"]
    ]
    headers = ("", "same samples", "runs of their own", "our own runs among themselves")
    return table(headers, lines) + f"\n\n{found['package']}, {machine_name(found['machine'])}."


def measuring() -> str:
    """The same file in optimum-benchmark."""
    found = load("measuring")
    lengths = list(dict.fromkeys(row["tokens"] for row in found["rows"]))
    lines = []
    for way in dict.fromkeys(row["way"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["way"] == way]
        times = (
            f"{median(row['process_medians_ms']):.2f} / {median(row['process_means_ms']):.2f}"
            for row in rows
        )
        peaks = [row["peak_mb"] for row in rows if row["peak_mb"] is not None]
        lines.append((way, *times, f"{max(peaks):.0f}" if peaks else ""))
    headers = ("p50 / mean, ms", *(f"{tokens} tokens" for tokens in lengths), "MB")
    return table(headers, lines) + f"\n\n{machine_name(found['machine'])}."


def kinds() -> str:
    """What each kind trains, how well, and what it costs at run time."""
    found = load("kinds")
    trained = {row["recipe"]: row for row in rows_of("accuracy", **SST2, seed=0)}
    lines = []
    for row in found["rows"]:
        method = row["method"]
        stays = row["leftover"]
        lines.append(
            (
                f"`{method}`" + (" (the backbone alone)" if method == "head" else ""),
                f"{row['trainable_parameters'] / row['total_parameters']:.2%}",
                "yes" if row["merges"] else f"{stays['bottlenecks']} stay",
                row["extra_nodes"],
                *(
                    "" if method == "head" else extra_latency(found, method, variant, tokens)
                    for variant in ("fp32", "int8")
                    for tokens in ("16", "128")
                ),
                f"{trained[method]['test_accuracy']:.2%}" if method in trained else "no record yet",
                f"{100 * row['test']['accuracy_drop']:.2f}" if "test" in row else "",
            )
        )
    same = [
        100 * (slowdown(found, row["method"], variant, tokens) - 1)
        for row in found["rows"]
        if row["extra_nodes"] == 0 and row["method"] not in ("head", "parallel")
        for variant in ("fp32", "int8")
        for tokens in ("16", "128")
    ]
    headers = (
        "kind",
        "trained",
        "merges exactly",
        "extra nodes",
        "fp32, 16 tokens",
        "fp32, 128",
        "int8, 16",
        "int8, 128",
        "SST-2",
        "int8 costs",
    )
    scored = rows_of("accuracy", **SST2, recipe="adapter")[0]
    right, texts = scored["test_accuracy"], scored["examples"]["test"]
    error = 100 * (right * (1 - right) / texts) ** 0.5
    return (
        f"{table(headers, lines)}\n\n"
        f"One seed each; one standard error of an accuracy is {error:.2f} points. "
        "Where everything folds into weights of the same shapes (LoRA, (IA)³, BitFit and "
        "LayerNorms), the graph is the backbone's own, and the difference is noise: "
        f"{min(same):+.1f} to {max(same):+.1f} % here."
    )


def extra_latency(found: dict[str, Any], method: str, variant: str, tokens: str) -> str:
    """Returns how much slower than the backbone alone, in percent."""
    return f"{100 * (slowdown(found, method, variant, tokens) - 1):+.1f} %"


def slowdown(found: dict[str, Any], method: str, variant: str, tokens: str) -> float:
    """Returns the ratio to the backbone alone, of the mean over the fastest fifth of processes.

    Whatever else a shared machine does only adds time, to whole processes at once: the medians of
    graphs that are the same differ by twice as much.
    """
    medians = found["process_medians_ms"]
    mine, alone = (
        fastest(medians[f"{name} {variant}"][tokens], part=5) for name in (method, "head")
    )
    return mine / alone


def training() -> str:
    """How fast each loop trains, and how much memory it takes, on each kind of machine."""
    names = [f"training-{precision}" for precision in ("bf16", "fp32")]
    found = [load(name) for name in names if (RESULTS / f"{name}.json").is_file()]
    return "\n\n".join(map(_training_on, found)) or "no record yet"


def _training_on(found: Mapping[str, Any]) -> str:
    rows = {(row["contender"], row["dataset"]): row for row in found["rows"]}
    contenders = list(dict.fromkeys(contender for contender, _ in rows))
    lines = []
    for contender in contenders:
        cells = []
        for dataset in found["texts"]:
            row = rows[contender, dataset]
            cells += [f"{row['examples_per_second']:.0f}", f"{row['peak_mb']:,.0f}"]
        lines.append((contender, *cells))
    headers = [
        "",
        *(f"{name} {what}" for name in found["texts"] for what in ("texts/s", "peak MB")),
    ]
    rounds = len(found["rows"][0]["rounds"])
    return (
        f"{table(headers, lines)}\n\n"
        f"{machine_name(found['machine'])}, {found['threads']} threads; median of {rounds} "
        f"rounds of fresh processes, interleaved. {_against_others(rows)}"
    )


def gpu() -> str:
    """How fast each loop trains BERT-base on a GPU, and how much of the GPU it uses."""
    found = load("gpu")
    rows = {(row["contender"], row["batch"]): row for row in found["rows"]}
    contenders, batches = (list(dict.fromkeys(key[at] for key in rows)) for at in (0, 1))
    lines = []
    for contender in contenders:
        each = [rows.get((contender, batch)) for batch in batches]
        speeds = [f"{row['examples_per_second']:,.0f}" if row else "failed" for row in each]
        memory = share = ""
        if largest := each[-1]:
            work = largest["examples_per_second"] * largest["flops_per_example"]
            memory, share = (
                f"{largest['peak_mb'] / 1e3:.1f} GB",
                f"{work / found['peak_flops']:.0%}",
            )
        lines.append((contender, *speeds, memory, share))
    headers = ("texts/s in batches of", *map(str, batches), "peak", "of its peak FLOP/s")
    turns = len(found["rows"][0]["seconds_of_turns"])
    return (
        f"{table(headers, lines)}\n\n{found['device']}, {found['shape']} with weights drawn at "
        f"random, texts of {found['tokens']} tokens, bfloat16, each loop eager; median of {turns} "
        f"turns. Memory and use of the GPU are those of the largest batch; its peak is "
        f"{found['peak_flops'] / 1e12:,.0f} TFLOP/s by the data sheet, of which one large product "
        f"reaches {found['product_flops'] / 1e12:,.0f}."
    )


def _against_others(rows: Mapping[tuple[str, str], Any]) -> str:
    """How many times faster than each kind of loop the default trains, on each data set."""
    told = []
    for title, beginnings in OTHER_LOOPS.items():
        ratios = []
        for dataset in dict.fromkeys(dataset for _, dataset in rows):
            speeds = {c: row["examples_per_second"] for (c, d), row in rows.items() if d == dataset}
            fastest = max(speed for c, speed in speeds.items() if c.startswith(beginnings))
            ratios.append(f"{speeds['edgeadapt parallel+bitfit'] / fastest:.2f} × ({dataset})")
        told.append(f"{title} {', '.join(ratios)}")
    return f"The default against {'; '.join(told)}."


OTHER_LOOPS = {
    "the seed's loop": ("the seed's loop",),
    "the faster of AdapterHub and PEFT": ("AdapterHub", "PEFT"),
    "full fine-tuning with `Trainer`": ("full fine-tuning",),
}
"""What the default is compared with -> how the contenders' names begin."""


def accuracy() -> str:
    """Adapters against full fine-tuning on every data set."""
    found = load("accuracy")
    lines, means = [], []
    for dataset in DATASETS:
        sides = [
            [r for r in found["rows"] if (r["dataset"], r["recipe"]) == (dataset, recipe)]
            for recipe in ("adapter", "full")
        ]
        if not all(sides):
            continue
        adapter, full = ([100 * row["test_accuracy"] for row in side] for side in sides)
        apart = fmean(adapter) - fmean(full)
        means.append((fmean(adapter), fmean(full), apart))
        share = sides[0][0]["trainable_parameters"] / sides[0][0]["total_parameters"]
        seeds = " and ".join(dict.fromkeys(str(len(side)) for side in sides))
        lines.append(
            (dataset, spread(adapter), spread(full), f"{apart:+.2f}", seeds, f"{share:.1%}")
        )
    mean = [fmean(column) for column in zip(*means, strict=True)]
    lines.append(("**mean**", f"**{mean[0]:.2f}**", f"**{mean[1]:.2f}**", f"**{mean[2]:+.2f}**"))
    headers = ("test accuracy, %", "adapters", "full fine-tuning", "difference", "seeds", "trained")
    return table(headers, [(*line, *[""] * (len(headers) - len(line))) for line in lines])


def quantization() -> str:
    """What each way to quantize costs on the test text of every data set."""
    found = load("quantization")["rows"]
    lines = []
    for way, dataset in dict.fromkeys((row["way"], row["dataset"]) for row in found):
        rows = [row for row in found if (row["way"], row["dataset"]) == (way, dataset)]
        done = [row for row in rows if "test" in row]
        if not done:
            lines.append((way, dataset, "refused", "", "", "", "", len(rows)))
            continue
        drops = [100 * row["test"]["accuracy_drop"] for row in done]
        megabytes = fmean(row["model_bytes"] + row["tokenizer_bytes"] for row in done) / 1e6
        lines.append(
            (
                way,
                dataset,
                spread(drops),
                f"{fmean(100 * row['test']['label_agreement'] for row in done):.2f}",
                f"{fmean(100 * row['as_scored'] for row in done):.2f}",
                f"{fmean(row['model_bytes'] / row['fp32_bytes'] for row in done):.1%}",
                f"{megabytes:.1f}",
                f"{len(done)} of {len(rows)}" if len(done) < len(rows) else len(rows),
            )
        )
    headers = (
        "way",
        "data",
        "drop, points",
        "= fp32, %",
        "= training's, %",
        "of fp32's file",
        "MB",
        "seeds",
    )
    return table(headers, sorted(lines, key=lambda line: line[0] != "default"))


def portable() -> str:
    """How many labels are the same on other CPUs."""
    lines = [
        (
            f"`{row['scheme']}` for {row['target']}",
            row["cpu"],
            f"{row['labels_the_same']} of {len(row['labels'])}",
            f"{row['largest_shift_of_a_probability']:.3f}",
        )
        for row in load("portable")["rows"]
        if row["cpu"] != "this machine"
    ]
    measured, verdict = portable_verdict()
    return (
        table(("bundle", "CPU", "labels the same", "largest shift of a probability"), lines)
        + f"\n\nAim: a bundle made for `portable` gives the same labels everywhere: {verdict} "
        f"({measured})."
    )


def ablation() -> str:
    """Every trial on validation text: those on all sets, the best first, then the screened ones."""
    trials: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}
    for row in load("ablation")["rows"]:
        scores = 100 * row["validation_accuracy"], 100 * row["test_accuracy"]
        trials.setdefault((row["recipe"], row["seed"]), {})[row["dataset"]] = scores
    searched = [name for name in DATASETS if any(name in found for found in trials.values())]

    def mean(found: Mapping[str, tuple[float, float]], names: Sequence[str], which: int) -> float:
        """0 where one of the sets is missing."""
        whole = all(name in found for name in names)
        return fmean(found[name][which] for name in names) if whole else 0.0

    def rank(trial: tuple[object, Mapping[str, tuple[float, float]]]) -> tuple[float, float]:
        return -mean(trial[1], searched, 0), -mean(trial[1], SCREENED, 0)

    def shown(value: float) -> str:
        return f"{value:.2f}" if value else ""

    lines = [
        (
            f"`{recipe}`" + (f", seed {seed}" if seed else ""),
            *(f"{found[name][0]:.1f}" if name in found else "" for name in searched),
            *(shown(mean(found, names, 0)) for names in (SCREENED, searched)),
            shown(mean(found, searched, 1)),
        )
        for (recipe, seed), found in sorted(trials.items(), key=rank)
    ]
    means = (f"mean of {' and '.join(SCREENED)}", "mean of all", "… on test")
    return table(("recipe", *searched, *means), lines)


def backbones() -> str:
    """What folds into which architecture."""
    found = load("backbones")
    kinds = list(found["rows"][0]["kinds"])
    lines = [
        (
            f"`{row['backbone']}`",
            *("stays" if row["kinds"][kind]["stays"] else "folds" for kind in kinds),
            f"{row['attention_fused']} of {found['layers']}",
        )
        for row in found["rows"]
    ]
    size = {name: value / 1e6 for name, value in found["albert_base_bytes"].items()}
    return (
        table(("backbone", *kinds, "attention fused"), lines)
        + "\n\nALBERT's layers share their weights. An adapter that differs from layer to layer "
        f"copies them first, which takes ALBERT-base from {size['shared']:.0f} to "
        f"{size['unshared']:.0f} MB in fp32; "
        "`bitfit`, `head` and `full` leave them shared."
    )


def bench_record() -> Record:
    if not (RESULTS / "bench.json").is_file():
        raise FileNotFoundError
    return Record.open(RESULTS / "bench.json")


SST2 = {"dataset": "sst2"}
DATASETS = ("sst2", "trec", "tweet_emotion", "banking77", "imdb")
SCREENED = ("trec", "tweet_emotion")
"""What a trial is run on before it is worth the larger sets."""
TABLES: dict[str, dict[str, Make]] = {
    "README.md": {"summary": summary, "misses": misses, "bench-sample": bench_sample},
    "docs/concepts/measuring.md": {"modes": modes},
    "docs/reference/backbones.md": {"backbones": backbones},
    "docs/results/index.md": {"summary": summary},
    "docs/results/accuracy.md": {
        "accuracy": accuracy,
        "accuracy-aims": accuracy_aims,
        "reviews": reviews,
    },
    "docs/results/latency.md": {
        "bench": bench,
        "latency-aims": latency_aims,
        "latency": partial(latency, on_two_threads),
    },
    "docs/results/training-speed.md": {
        "training": training,
        "training-aims": training_aims,
        "gpu": gpu,
    },
    "docs/results/adapters.md": {"kinds": kinds},
    "docs/results/quantization.md": {
        "quantization": quantization,
        "quantization-aims": quantization_aims,
        "portable": portable,
    },
    "benchmarks/notes/training.md": {"ablation": ablation},
    "benchmarks/notes/graphs.md": {"latency": partial(latency, elsewhere)},
    "benchmarks/notes/measuring.md": {
        "stability": stability,
        "cores": cores,
        "loadgen": loadgen,
        "measuring": measuring,
    },
}
"""Document -> name of a table in it -> what makes it."""


if __name__ == "__main__":
    main()
