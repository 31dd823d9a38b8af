"""An opened run: its classifier, its tokenizer and the examples that it holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from edgeadapt.data import TEXT_COLUMNS, Examples, embedded_texts, read_rows, to_examples
from edgeadapt.errors import IntegrityError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import find_model
from edgeadapt.outputs import Rows
from edgeadapt.parsing import TOKENIZER_BYTES
from edgeadapt.recipe import Recipe
from edgeadapt.store.files import read_json
from edgeadapt.store.run import (
    CALIBRATION_FILE,
    PREDICTIONS_FILE,
    VALIDATION_FILE,
    VOCABULARY_FILE,
    Run,
    RunInfo,
)
from edgeadapt.text import Text, TextEncoder
from edgeadapt.typed import Count, from_json

__all__ = ["OpenedRun"]


@dataclass(frozen=True)
class OpenedRun:
    """A run whose files are read at first use, and only once."""

    run: Run

    @classmethod
    def of(cls, run: Run) -> Self:
        """Opens a run and verifies the hash of every file.

        Raises:
            LayoutError: The run is damaged.
        """
        run.verify()
        return cls(run)

    @property
    def info(self) -> RunInfo:
        """The content of ``run.json``."""
        return self.run.info

    @property
    def recipe(self) -> Recipe:
        """The recipe that the run was trained with."""
        return self.run.info.recipe

    def classifier(self) -> AdaptedClassifier:
        """Returns the trained classifier, after verifying that the backbone is unchanged.

        Each call returns a new one, because merging changes a classifier in place.

        Raises:
            IntegrityError: The backbone's settings or weights have changed since training.
            ModelError: The backbone cannot be found.
        """
        recipe, info = self.recipe, self.info
        source = find_model(recipe.model)
        found, expected = source.config_sha256(), info.backbone.config_sha256
        if found != expected:
            raise IntegrityError(
                f"{source.folder / 'config.json'} differs from that of the backbone that "
                f"{self.run.path} was trained on: expected settings with sha256 {expected}, found "
                f"{found}.",
                hint=f"Restore the checkpoint of {source.id}, or train again.",
            )
        with seeded(recipe.training.seed):
            classifier = AdaptedClassifier.build(
                source,
                info.labels,
                recipe.adapter,
                depth=recipe.model.layers,
                task=info.task,
                rows=Rows.as_they_are(len(info.labels)),  # the run's own head is loaded below
            )
        found, expected = classifier.frozen_sha256(), info.frozen_sha256.after
        if found != expected:
            raise IntegrityError(
                f"{source.folder} is not the backbone that {self.run.path} was trained on: "
                f"expected frozen weights with sha256 {expected}, found {found}.",
                hint=f"Restore the weights of {source.id}, or train again.",
            )
        classifier.load(self.run.path / "weights")
        classifier.model.eval()
        return classifier

    @cached_property
    def encoder(self) -> TextEncoder:
        """The run's tokenizer."""
        return TextEncoder.from_file(
            self.run.path / "tokenizer.json",
            max_length=self.recipe.model.max_length,
            pad_id=self.info.pad_id,
            pairs=self.info.pairs,
        )

    @cached_property
    def validation(self) -> Examples | None:
        """Validation examples, which gates use; ``None`` for an adapter imported without data."""
        return self._kept(VALIDATION_FILE)

    @cached_property
    def calibration(self) -> Examples | None:
        """Training examples for the calibration set; ``None`` if the run holds none."""
        return self._kept(CALIBRATION_FILE)

    @cached_property
    def test(self) -> Examples | None:
        """Test examples, which must not influence any choice; ``None`` if the run holds none."""
        return self._kept(PREDICTIONS_FILE)

    @cached_property
    def piece_counts(self) -> Mapping[str, int] | None:
        """Word piece -> its count in the training text; ``None`` if the run holds no counts."""
        if VOCABULARY_FILE not in self.info.files:
            return None
        file = self.run.path / VOCABULARY_FILE
        return from_json(dict[str, Count], read_json(file), where=str(file))

    def real_texts(self) -> Sequence[Text]:
        """Returns the validation texts, or the embedded reviews if there are none.

        They are for comparing two forms of the same model, for which any real text will do.
        """
        return embedded_texts() if self.validation is None else self.validation.texts

    def _kept(self, name: str) -> Examples | None:
        if name not in self.info.files:
            return None
        path = self.run.path / name
        return to_examples(
            read_rows(path),
            text_column=TEXT_COLUMNS[0],
            text_pair_column=TEXT_COLUMNS[1] if self.info.pairs else None,
            label_column="label",
            label_names=self.info.labels,
            task=self.info.task,
            where=str(path),
        )

    def write_tokenizer(self, folder: Path, encoder: TextEncoder | None = None) -> None:
        """Writes the tokenizer files that other loaders expect.

        ``tokenizer.json`` is written without whitespace, which can be a third of its size.

        Args:
            folder: Where to write them.
            encoder: A tokenizer derived from the run's, such as one with fewer word pieces; the
                run's own by default.
        """
        if encoder is None:
            table = read_json(self.run.path / "tokenizer.json", limit=TOKENIZER_BYTES)
        else:
            table = json.loads(encoder.tokenizer.to_str())
        short = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
        (folder / "tokenizer.json").write_text(short, encoding="utf-8")
        config = read_json(self.run.path / "tokenizer_config.json")
        special = {key: value for key, value in config.items() if key.endswith("_token")}
        for name, value in (
            ("tokenizer_config.json", config),
            ("special_tokens_map.json", special),
        ):
            (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
