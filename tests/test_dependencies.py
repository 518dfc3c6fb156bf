"""Every package that is installed is pinned and free to use, and nothing is asked of a network unasked."""

import re
import subprocess
import sys
from pathlib import Path

import dependencies
import pandas as pd

ROOT = Path(__file__).parents[1]
FREE = "MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|Public Domain|LGPL|Lesser General Public"


def test_every_dependency_is_pinned_and_listed_in_the_book_with_its_licence():
    listed = pd.read_csv(dependencies.TABLE).set_index("package")
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): number for name, number in pinned.items()}
    for name, number, licence, use in dependencies.table().itertuples(index=False):
        assert pinned[name] == number
        assert listed.loc[name].tolist() == [number, licence, use], "run python tests/dependencies.py"


def test_licences_go_with_that_of_this_package():
    listed = pd.read_csv(dependencies.TABLE)
    others = listed[~listed["licence"].str.contains(FREE)].set_index("package")["used for"]
    assert others.to_dict() == {"ecos": "peers", "scikit-survival": "peers"}  # imported only when a rival is asked for
    copyleft = listed[listed["licence"].str.contains("Lesser|LGPL") & listed["used for"].eq("gexcore itself")]
    assert copyleft["package"].tolist() == ["gensim"]  # imported as it is, which the LGPL allows to any program


OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request"):
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(refuse)
import gexcore as gx
from gexcore.cli import main

cohort, tasks = gx.load_cohort("demo")[:, :20].copy(), gx.load_tasks("demo")
gx.TxT(tasks, preset="quick", max_epochs=1).fit(cohort).save("model.safetensors")
cohort.to_df().to_csv("expression.csv")
cohort.obs.to_csv("clinical.csv")
gx.load_model("model.safetensors").predict(cohort)
main(["predict", "model.safetensors", "--expression", "expression.csv", "--clinical", "clinical.csv", "--out", "out"])
assert not [name for name in sys.modules if name.split(".")[0] == "sksurv"], "GPL code was imported unasked"
"""


def test_training_saving_and_reporting_open_no_connection_and_import_no_gpl_code(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", OFFLINE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
