"""A run, back in memory: its classifier, its tokenizer, the examples it kept."""

import json
from pathlib import Path

from edgeadapt.data import TEXT_COLUMNS, Examples, read_rows, to_examples
from edgeadapt.errors import IntegrityError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import find_model
from edgeadapt.outputs import Rows
from edgeadapt.parsing import TOKENIZER_BYTES
from edgeadapt.recipe import Recipe
from edgeadapt.store.files import read_json
from edgeadapt.store.run import Run
from edgeadapt.text import TextEncoder

__all__ = ["kept_examples", "recipe_of", "restore", "text_encoder", "write_tokenizer"]


def restore(run: Run) -> AdaptedClassifier:
    """Returns the trained classifier, on the very backbone that it was trained on.

    Raises:
        IntegrityError: The backbone's settings or weights are other ones now.
        ModelError: The backbone is gone.
    """
    recipe = recipe_of(run)
    source = find_model(recipe.model)
    found, expected = source.config_sha256(), run.info.backbone.config_sha256
    if found != expected:
        raise IntegrityError(
            f"{source.folder / 'config.json'} is not of the backbone that {run.path} was trained "
            f"on: expected settings with sha256 {expected}, found {found}.",
            hint=f"Bring back the checkpoint of {source.id}, or train again.",
        )
    with seeded(recipe.training.seed):
        classifier = AdaptedClassifier.build(
            source,
            run.info.labels,
            recipe.adapter,
            depth=recipe.model.layers,
            task=run.info.task,
            rows=Rows.as_they_are(len(run.info.labels)),  # the run has its own
        )
    found, expected = classifier.frozen_sha256(), run.info.frozen_sha256.after
    if found != expected:
        raise IntegrityError(
            f"{source.folder} is not the backbone that {run.path} was trained on: expected frozen "
            f"weights with sha256 {expected}, found {found}.",
            hint=f"Bring back the weights of {source.id}, or train again.",
        )
    classifier.load(run.path / "weights")
    classifier.model.eval()
    return classifier


def recipe_of(run: Run) -> Recipe:
    """Returns the recipe that a run was made by."""
    return Recipe.from_recorded(run.info.recipe, origin=str(run.path / "run.json"))


def text_encoder(run: Run) -> TextEncoder:
    """Returns the run's tokenizer."""
    return TextEncoder.from_file(
        run.path / "tokenizer.json",
        max_length=recipe_of(run).model.max_length,
        pad_id=run.info.pad_id,
        pairs=run.info.pairs,
    )


def kept_examples(run: Run, name: str) -> Examples:
    """Returns the labelled examples of one of the run's CSV files."""
    return to_examples(
        read_rows(run.path / name),
        text_column=TEXT_COLUMNS[0],
        text_pair_column=TEXT_COLUMNS[1] if run.info.pairs else None,
        label_column="label",
        label_names=run.info.labels,
        task=run.info.task,
        where=str(run.path / name),
    )


def write_tokenizer(folder: Path, run: Run, encoder: TextEncoder | None = None) -> None:
    """Writes the run's tokenizer, or one made of it, as the files that other loaders look for.

    Without the spaces and line breaks that a third of a large ``tokenizer.json`` is made of.
    """
    if encoder is None:
        table = read_json(run.path / "tokenizer.json", limit=TOKENIZER_BYTES)
    else:
        table = json.loads(encoder.tokenizer.to_str())
    short = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(short, encoding="utf-8")
    config = read_json(run.path / "tokenizer_config.json")
    special = {key: value for key, value in config.items() if key.endswith("_token")}
    for name, value in (
        ("tokenizer_config.json", config),
        ("special_tokens_map.json", special),
    ):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
