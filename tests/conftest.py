"""Fixtures that all tests share."""

import os
import sys

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize="CI" in os.environ
)
hypothesis.settings.load_profile("default")


@pytest.fixture(autouse=True)
def seeded_torch():
    """Each test draws the same weights whatever ran before it: a model's layers take torch's global numbers."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
