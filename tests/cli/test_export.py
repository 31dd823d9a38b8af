"""``edgeadapt export``."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgeadapt.compress import timing
from edgeadapt.measure.timed_jobs import GraphAnswer
from edgeadapt.pipeline import export as pipeline
from edgeadapt.pipeline.export import ExportOptions
from edgeadapt.pipeline.export import export as run_export
from edgeadapt.platforms import this_platform
from edgeadapt.recipe import Exporter
from edgeadapt.store.bundle import TEXT_FILES, Bundle
from edgeadapt.store.run import Run
from tests.children import run_edgeadapt, run_limited
from tests.cli.conftest import Cli, Outcome, written
from tests.store.handmade import compression_of, make_compression, step_of
from tests.store.manifests import edit_json

SCHEMES = ("dynamic-int8", "static-int8")


@pytest.fixture(scope="module")
def exported(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A fresh process: nothing that an import prints can hide."""
    done = run_edgeadapt(
        *("export", str(tiny_run.path), "--quantize", "--max-drop", "1", "--json"),
        cwd=tmp_path_factory.mktemp("export"),
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_json_is_one_object_with_bundle_gates_and_files(exported: Outcome) -> None:
    answer = exported.json

    assert set(answer) >= {"bundle", "parity", "files"}
    assert answer["bundle"] == "artifacts/bundles/tiny"
    assert answer["parity"].keys() == {"merge", "onnx", "int8"}
    assert answer["parity"]["merge"]["max_difference"] <= answer["parity"]["merge"]["limit"]
    assert answer["parity"]["int8"]["scheme"] == "dynamic-int8"
    assert answer["files"]["onnx/model.onnx"] > 0
    assert answer["files"]["onnx/model_quantized.onnx"] > 0


@pytest.mark.slow
def test_messages_go_to_stderr(exported: Outcome) -> None:
    assert "export 2/4  merge" in exported.err


def test_the_latest_run_is_exported_and_its_gates_shown(
    cli: Cli, tiny_run: Run, folder: Path
) -> None:
    for name, age in (("older", 2), ("newest", 0), ("oldest", 3)):
        run = shutil.copytree(tiny_run.path, folder / "artifacts/runs" / name)
        seconds = (run / "run.json").stat().st_mtime - 1000 * age
        os.utime(run / "run.json", (seconds, seconds))

    done = cli("export", "--quantize", "--max-drop", "1", "--exporter", "torch", "--no-evaluation")

    assert done.code == 0, done.err
    assert "merged model = adapters" in done.out
    assert "ONNX fp32 = torch" in done.out
    assert "quantized (dynamic-int8) against fp32" in done.out
    assert done.out.splitlines()[-1] == "bundle: artifacts/bundles/newest"
    assert "next: edgeadapt bench newest" in done.err
    bundle = Bundle.open(folder / "artifacts/bundles/newest")
    bundle.verify()
    assert set(bundle.manifest.variants) == {"fp32", "int8"}
    assert "evaluation.csv" not in bundle.manifest.files


def test_without_a_run_the_way_to_one_is_named(cli: Cli, folder: Path) -> None:
    cli("export").fails_with("artifacts/runs", hint="edgeadapt train")

    assert written(folder) == []


def test_a_missing_run_is_named(cli: Cli, folder: Path) -> None:
    cli("export", "nowhere").fails_with("artifacts/runs/nowhere", hint="edgeadapt train")

    assert written(folder) == []


def test_an_unfinished_run_is_named(cli: Cli, tiny_run: Run, folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run.path, tmp_path / "unfinished")
    (run / "run.json").unlink()

    cli("export", run).fails_with(str(run), "run.json")

    assert written(folder) == []


def test_a_run_of_a_newer_format_names_both_versions(
    cli: Cli, tiny_run: Run, folder: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(tiny_run.path, tmp_path / "newer")
    edit_json(run / "run.json", lambda value: value.update(format_version=3))

    cli("export", run).fails_with(
        str(run / "run.json"), "format version 3", "up to 2", hint="--upgrade"
    )

    assert written(folder) == []


@pytest.mark.parametrize("name", ["weights/adapter.safetensors", "validation.csv"])
def test_a_changed_file_of_the_run_is_named_with_both_hashes(
    cli: Cli, tiny_run: Run, folder: Path, tmp_path: Path, name: str
) -> None:
    run = shutil.copytree(tiny_run.path, tmp_path / "damaged")
    (run / name).write_bytes((run / name).read_bytes() + b"\n")

    cli("export", run).fails_with(
        str(run / name), f"expected sha256 {tiny_run.info.files[name]}", "found "
    )

    assert written(folder) == []


def test_another_backbone_than_the_trained_one_is_refused(
    cli: Cli, tiny_run: Run, checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(tiny_run.path, tmp_path / "run")
    other = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-2000] ^= 0x40
    (other / "model.safetensors").write_bytes(weights)
    edit_json(run / "run.json", lambda value: value["recipe"]["model"].update(id=str(other)))

    cli("export", run).fails_with(
        str(other), "expected frozen weights with sha256", tiny_run.info.frozen_sha256.after
    )

    assert written(folder) == []


def test_a_gate_that_does_not_pass_leaves_no_bundle(
    cli: Cli, tiny_run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MERGE_LIMIT", -1.0)

    cli("export", tiny_run.path).fails_with("Merged model against adapters", "-1")

    assert written(folder) == []


@pytest.mark.parametrize("share", ["-0.1", "1.5", "101%", "nan", "0,01", ""])
def test_a_drop_that_is_no_share_is_refused(
    cli: Cli, tiny_run: Run, folder: Path, share: str
) -> None:
    cli("export", tiny_run.path, "--max-drop", share).fails_with("drop", "0 to 1", share)

    assert written(folder) == []


def test_an_existing_bundle_is_left_as_it_is(cli: Cli, tiny_run: Run, folder: Path) -> None:
    bundle = folder / "artifacts/bundles/mine"
    bundle.mkdir(parents=True)
    (bundle / "README.md").write_text("mine")

    cli("export", tiny_run.path, "--output", "mine").fails_with(
        "artifacts/bundles/mine", "exists already", hint="--force"
    )

    assert written(folder) == ["artifacts/bundles/mine", "artifacts/bundles/mine/README.md"]


@pytest.mark.slow
def test_a_full_disk_leaves_no_bundle(tiny_run: Run, tmp_path: Path) -> None:
    done = run_limited(40_000, "export", str(tiny_run.path), "--exporter", "torch", cwd=tmp_path)

    Outcome(done.returncode, done.stdout, done.stderr).fails_with(
        "No space left", "artifacts/bundles", hint="another folder"
    )
    assert written(tmp_path) == []


def test_passes_are_chosen_by_name(cli: Cli, tiny_run: Run, folder: Path) -> None:
    cli("export", str(tiny_run.path), "--passes", "attention+magic").fails_with(
        "--passes: unknown pass 'magic'", "first-position", hint="joined by +"
    )

    for asked, passes in (("none", []), ("attention+token-types", ["attention", "token-types"])):
        done = cli("export", str(tiny_run.path), "--passes", asked, "--output", asked, "--json")
        assert Bundle.open(Path(done.json["bundle"])).manifest.provenance.passes == tuple(passes)


def test_every_candidate_is_shown_with_its_figures_and_the_chosen_one_marked(
    cli: Cli, tiny_run: Run, folder: Path, quick: None
) -> None:
    done = cli(
        *("export", tiny_run.path, "--quantize", "--max-drop", "1", "--exporter", "torch"),
        *("--scheme", "dynamic-int8+static-int8", "--objective", "size", "--target", "portable"),
    )

    assert done.code == 0, done.err
    shown = [line for line in done.out.splitlines() if line.strip().startswith(SCHEMES)]
    assert len(shown) >= 5
    assert sum("←" in line for line in shown) == 1
    assert all("7-bit weights" in line for line in shown)
    assert "Chosen for size on portable" in done.out
    (bundle,) = Bundle.all_under(folder / "artifacts/bundles")
    assert bundle.manifest.variants["int8"].platform == "portable"


def test_json_holds_the_whole_ladder(exported: Outcome) -> None:
    found = exported.json["quantization"]

    assert found["chosen"] in [trial["name"] for trial in found["trials"]]
    assert found["objective"] == "latency"


def test_a_smaller_vocabulary_is_a_gate_of_its_own(cli: Cli, tiny_run: Run, folder: Path) -> None:
    done = cli(
        *("export", tiny_run.path, "--trim-vocab", "90", "--max-drop", "100%"),
        *("--exporter", "torch"),
    )

    assert done.code == 0, done.err
    assert "90 embeddings of " in " ".join(done.out.split())
    (bundle,) = Bundle.all_under(folder / "artifacts/bundles")
    assert step_of(bundle, "vocabulary").taken.settings["embeddings"] == 90
    assert compression_of(bundle).max_drop == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--scheme", "int3"), ("--scheme: unknown scheme 'int3'", "dynamic-int8")),
        (("--scheme", "dynamic-int8+dynamic-int8"), ("names one twice",)),
        (("--engine", "openvino", "--scheme", "int4-weights"), ("openvino runs static-int8",)),
        (("--engine", "torch"), ("--engine: expected one of onnxruntime, openvino, found torch",)),
        (
            ("--trim-vocab", "few"),
            ("--trim-vocab: expected a number above 0, auto or none", "'few'"),
        ),
        (("--trim-vocab", "0"), ("--trim-vocab: expected a number above 0, auto or none",)),
        (
            ("--trim-vocab", "9" * 5_000),
            ("--trim-vocab: expected a number above 0, auto or none",),
        ),
        (("--threads", "0"), ("--threads: expected at least 1, found 0",)),
        (("--trim-vocab", "3"), ("--trim-vocab 3: expected at least 5, the special tokens",)),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(
    cli: Cli, tiny_run: Run, folder: Path, options: tuple[str, str], words: tuple[str, ...]
) -> None:
    cli("export", tiny_run.path, "--quantize", *options).fails_with(*words)

    assert written(folder) == []


# The recipe's own table


@pytest.fixture
def asking_run(tiny_run: Run, folder: Path) -> Path:
    """A run whose recipe says what is made of it."""
    run = Path(shutil.copytree(tiny_run.path, folder / "artifacts/runs/asking"))
    edit_json(
        run / "run.json",
        lambda value: value["recipe"].update(
            export={
                "trim_vocab": 90,
                "max_drop": 1.0,
                "exporter": "torch",
                "passes": "attention+token-types",
                "evaluation": False,
            }
        ),
    )
    return run


def test_a_run_is_exported_as_its_recipe_says(cli: Cli, asking_run: Path) -> None:
    bundle = Bundle.open(Path(cli("export", "asking", "--json").json["bundle"]))

    made = bundle.manifest
    assert made.provenance.exporter == "torch"
    assert set(made.provenance.passes) >= {"attention", "token-types"}
    assert "positions" not in made.provenance.passes
    assert step_of(bundle, "vocabulary").taken.settings["embeddings"] == 90
    assert compression_of(bundle).max_drop == 1.0
    assert set(made.files).isdisjoint(TEXT_FILES)
    asked = made.provenance.recipe["export"]
    assert (asked["trim_vocab"], asked["passes"]) == (90, "attention+token-types")


def test_options_override_the_recipe_and_the_bundle_says_what_counted(
    cli: Cli, asking_run: Path
) -> None:
    done = cli(
        *("export", "asking", "--trim-vocab", "none", "--passes", "none", "--evaluation", "--json")
    )

    made = Bundle.open(Path(done.json["bundle"])).manifest
    assert made.compression is None
    assert made.provenance.passes == ()
    assert set(made.files) >= {"evaluation.csv"}
    asked = made.provenance.recipe["export"]
    assert (asked["trim_vocab"], asked["passes"], asked["evaluation"]) == ("none", "none", True)
    assert (asked["exporter"], asked["max_drop"]) == ("torch", 1.0)


def test_a_run_from_before_the_table_is_exported_by_the_defaults(
    cli: Cli, tiny_run: Run, folder: Path
) -> None:
    run = Path(shutil.copytree(tiny_run.path, folder / "artifacts/runs/older"))
    edit_json(run / "run.json", lambda value: value["recipe"].pop("export"))

    made = Bundle.open(Path(cli("export", "older", "--json").json["bundle"])).manifest

    assert list(made.variants) == ["fp32"]
    assert made.provenance.recipe["export"]["passes"] == "all"


def test_a_run_with_a_table_that_nobody_can_export_by_is_refused_by_name(
    cli: Cli, asking_run: Path, folder: Path
) -> None:
    edit_json(asking_run / "run.json", lambda value: value["recipe"]["export"].update(passes="x"))

    cli("export", "asking").fails_with(str(Path("asking/run.json")), "unknown pass 'x'")

    assert not (folder / "artifacts/bundles").exists()


# A bundle in place of a run


@pytest.fixture(scope="module")
def again(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An fp32 bundle. Do not change it: copy it first."""
    folder = tmp_path_factory.mktemp("again") / "again"
    return run_export(tiny_run, options=ExportOptions(exporter=Exporter.TORCH), output=folder)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed in fresh processes."""
    answer = GraphAnswer(latency_ns=[[1_000_000]], peak_bytes=7)
    monkeypatch.setattr(timing, "run_job", lambda job: answer)


def test_a_bundle_is_quantized_again_and_shown_like_an_export(
    cli: Cli, again: Bundle, folder: Path, quick: None
) -> None:
    done = cli("export", again.path, "--quantize", "--max-drop", "1", "--target", "portable")

    assert done.code == 0, done.err
    assert "quantized (dynamic-int8) against fp32" in done.out
    assert "Chosen for latency on portable" in done.out
    assert done.out.splitlines()[-1] == "bundle: artifacts/bundles/again-portable"
    assert "next: edgeadapt bench again-portable" in done.err
    Bundle.open(folder / "artifacts/bundles/again-portable").verify()


def test_a_name_that_only_a_bundle_has_is_the_bundles(
    cli: Cli, again: Bundle, folder: Path, quick: None
) -> None:
    shutil.copytree(again.path, folder / "artifacts/bundles/mine")

    done = cli(
        *("export", "mine", "--quantize", "--scheme", "int4-weights", "--objective", "size"),
        *("--max-drop", "1", "--threads", "1", "--output", "other", "--json"),
    )

    assert done.json["bundle"] == "artifacts/bundles/other"
    assert done.json["parity"]["int8"]["scheme"] == "int4-weights"
    assert done.json["quantization"]["objective"] == "size"
    assert "onnx/model_q4.onnx" in done.json["files"]


def test_a_name_of_a_run_and_a_bundle_is_the_runs_and_a_path_says_otherwise(
    cli: Cli, tiny_run: Run, again: Bundle, folder: Path, quick: None
) -> None:
    shutil.copytree(tiny_run.path, folder / "artifacts/runs/both")
    shutil.copytree(again.path, folder / "artifacts/bundles/both")

    run = cli("export", "both", "--exporter", "torch", "--output", "of-run", "--json")
    bundle = cli(
        *("export", "artifacts/bundles/both", "--quantize", "--max-drop", "1"),
        *("--output", "of-bundle", "--json"),
    )

    assert [
        list(Bundle.open(Path(done.json["bundle"])).manifest.variants) for done in (run, bundle)
    ] == [["fp32"], ["fp32", "int8"]]
    origins = [
        Bundle.open(Path(done.json["bundle"])).manifest.provenance.quantized_again
        for done in (run, bundle)
    ]
    assert origins[0] == ()
    assert origins[1][0].bundle == "both"


def test_a_bundle_keeps_its_budget_where_none_is_given_even_one_that_is_the_default(
    cli: Cli, again: Bundle, folder: Path, quick: None
) -> None:
    copy = Path(shutil.copytree(again.path, folder / "copy"))
    Bundle.write(copy, replace(again.manifest, compression=make_compression(max_drop=1.0)))

    own = cli("export", copy, "--quantize", "--output", "own", "--json")
    given = cli("export", copy, "--quantize", "--max-drop", "0.01", "--output", "given", "--json")

    assert [done.json["quantization"]["max_drop"] for done in (own, given)] == [1.0, 0.01]


def test_a_bundle_is_quantized_again_as_it_was_asked_for_unless_options_say_otherwise(
    cli: Cli, again: Bundle, folder: Path, quick: None
) -> None:
    manifest = again.manifest
    asked = {"scheme": "int8-weights", "objective": "size", "target": "x86-vnni", "threads": 99}
    recipe = {**manifest.provenance.recipe, "export": asked}
    copy = Path(shutil.copytree(again.path, folder / "copy"))
    Bundle.write(copy, replace(manifest, provenance=replace(manifest.provenance, recipe=recipe)))
    more = ("--quantize", "--max-drop", "1", "--json")

    own = cli("export", copy, *more, "--output", "own")
    given = cli("export", copy, *more, "--objective", "memory", "--output", "given")

    assert own.json["parity"]["int8"]["scheme"] == "int8-weights"
    assert own.json["quantization"]["platform"] == this_platform()
    assert [done.json["quantization"]["objective"] for done in (own, given)] == ["size", "memory"]


@pytest.mark.parametrize(
    "options",
    [
        ("--trim-vocab", "90"),
        ("--with-torch",),
        ("--exporter", "torch"),
        ("--exporter", "auto"),
        ("--passes", "none"),
        ("--passes", "all"),
    ],
)
def test_what_takes_the_run_is_refused_of_a_bundle_by_name(
    cli: Cli, again: Bundle, folder: Path, options: tuple[str, ...]
) -> None:
    cli("export", again.path, "--quantize", *options).fails_with(
        f"{options[0]}: expected with a run", str(again.path), hint="export the run"
    )

    assert written(folder) == []


def test_a_bundle_without_quantize_is_refused_with_the_command(
    cli: Cli, again: Bundle, folder: Path
) -> None:
    cli("export", again.path).fails_with(
        f"{again.path} is a bundle", "--quantize", hint=f"edgeadapt export {again.path} --quantize"
    )

    assert written(folder) == []


def test_a_bundle_may_leave_its_texts_out_and_cannot_be_quantized_again_then(
    cli: Cli, again: Bundle, folder: Path, quick: None
) -> None:
    done = cli(
        *("export", again.path, "--quantize", "--max-drop", "1", "--no-evaluation"),
        *("--output", "bare", "--json"),
    )

    assert set(done.json["files"]).isdisjoint(TEXT_FILES)
    cli("export", "bare", "--quantize").fails_with(
        "artifacts/bundles/bare holds no validation text", hint="--no-evaluation"
    )


def test_the_bundle_itself_is_left_as_it_is_without_force(
    cli: Cli, again: Bundle, folder: Path, quick: None
) -> None:
    copy = Path(shutil.copytree(again.path, folder / "artifacts/bundles/mine"))
    before = written(folder)

    cli("export", "mine", "--quantize", "--output", "mine").fails_with(
        "artifacts/bundles/mine exists already", hint="--force"
    )
    assert written(folder) == before

    done = cli("export", "mine", "--quantize", "--max-drop", "1", "--output", "mine", "--force")
    assert done.code == 0, done.err
    assert set(Bundle.open(copy).manifest.variants) == {"fp32", "int8"}
