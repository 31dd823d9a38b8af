"""The recipe: its tables and enums, and how recipes are read and written.

A recipe is a TOML file with the tables ``[model]``, ``[data]``, ``[adapter]``, ``[training]`` and
``[export]``; every key is a field of the dataclass of that table. A run saves its effective recipe
in ``run.json``, which is accepted wherever a recipe is.
"""

from edgeadapt.recipe.adapter import AdapterConfig
from edgeadapt.recipe.data import DataConfig
from edgeadapt.recipe.export import SCHEMES, ExportConfig
from edgeadapt.recipe.files import builtin_recipes
from edgeadapt.recipe.kinds import (
    AdapterKind,
    Calibration,
    Device,
    Dropout,
    EngineName,
    Exporter,
    Format,
    GraphPass,
    LoraTarget,
    Objective,
    Placement,
    Platform,
    Precision,
    Scheme,
    Task,
    check_joined,
)
from edgeadapt.recipe.model import ModelConfig
from edgeadapt.recipe.recipe import Recipe
from edgeadapt.recipe.training import TrainingConfig
from edgeadapt.recipe.tuned import Tuned

__all__ = [
    "SCHEMES",
    "AdapterConfig",
    "AdapterKind",
    "Calibration",
    "DataConfig",
    "Device",
    "Dropout",
    "EngineName",
    "ExportConfig",
    "Exporter",
    "Format",
    "GraphPass",
    "LoraTarget",
    "ModelConfig",
    "Objective",
    "Placement",
    "Platform",
    "Precision",
    "Recipe",
    "Scheme",
    "Task",
    "TrainingConfig",
    "Tuned",
    "builtin_recipes",
    "check_joined",
]
