"""Drifts over a given number of texts."""

import numpy as np

from edgeadapt.metrics import Drift, drift
from edgeadapt.recipe import Task


def a_drift(drop: int, of: int) -> Drift:
    before = np.eye(2, dtype=np.float32)[np.zeros(of, dtype=int)]
    after = np.eye(2, dtype=np.float32)[[1] * drop + [0] * (of - drop)]
    return drift(before, after, np.zeros(of, dtype=np.int64), task=Task.SINGLE_LABEL)
