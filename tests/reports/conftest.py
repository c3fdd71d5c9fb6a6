"""One small run for all pages."""

import pytest
from small_recipe import small_recipe

from bitspike.train import fit
from bitspike.train.recipe import parse_recipe


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A run of a few neurons and epochs; nobody writes into it."""
    place = tmp_path_factory.mktemp("reports") / "run"
    fit(parse_recipe(small_recipe(), source="small.toml"), out=place, progress=False)
    return place
