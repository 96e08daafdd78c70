"""Hold generators of NumPy, as a module of a project does. The fork server imports it."""

from __future__ import annotations

import numpy as np

from taskmaster import task

STATE = np.random.RandomState(7)
GENERATOR = np.random.default_rng()
#: Another algorithm, with a fixed seed.
SEEDED = np.random.Generator(np.random.Philox(7))


@task
def draw_each() -> list[float]:
    """Draw from the global generator and from those of this module."""
    return [
        float(np.random.random()),
        float(STATE.random_sample()),
        float(GENERATOR.random()),
        float(SEEDED.random()),
    ]
