"""What every test shares: torch draws the same numbers in each, whatever ran before."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
