"""The wheel carries the package and the embedded cohorts."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_and_every_embedded_file(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "gexcore").rglob("*") if p.suffix in (".py", ".jinja")}
    data = {f"gexcore/_data/{p.relative_to(ROOT / 'data')}" for p in (ROOT / "data").rglob("*") if p.is_file()}
    assert "gexcore/_data/demo/expression.csv" in data
    assert modules | data <= held
    assert {name.split("/")[0] for name in held} == {"gexcore", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


def test_an_unpacked_wheel_loads_the_demo_cohort_from_anywhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import gexcore as gx; print(gx.__file__); print(gx.load_cohort('demo').n_obs > 0)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path / "site" / "gexcore" / "__init__.py"), "True"], done.stderr
