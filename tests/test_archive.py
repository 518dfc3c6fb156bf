"""Models that earlier versions saved say in this one what they said then (tests/archive/make.py)."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import gexcore as gx

ARCHIVE = Path(__file__).parent / "archive"
sys.path.insert(0, str(ARCHIVE))
from make import said  # noqa: E402 (it lies beside what it made)

FILES = sorted(ARCHIVE.glob("*/*.safetensors"))


def test_every_version_from_the_first_is_kept():
    kept = {path.parent.name for path in FILES}
    assert {"0.1.0", version("gexcore")} <= kept, "run python tests/archive/make.py for the new release"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_archived_model_says_what_it_said_when_it_was_saved(path):
    cohort = gx.read_cohort(path.parent / "expression.csv")
    found = said(gx.load_model(path, device="cpu"), cohort)
    expected = json.loads(path.with_suffix(".json").read_text())
    assert found.keys() == expected.keys()
    for name, values in expected.items():  # other processors and versions of torch round otherwise
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
