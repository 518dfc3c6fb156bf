"""Running commands in tests: the demo files and small trainings, what a command refuses, what a page says."""

from html.parser import HTMLParser

import pytest

import gexcore as gx
from gexcore.cli import main

EXPRESSION, CLINICAL = (gx.data_path(f"demo/{name}.csv") for name in ("expression", "clinical"))
DEMO = ["--expression", f"{EXPRESSION}", "--clinical", f"{CLINICAL}"]
SURVIVAL = ["--survival", "os_time", "os_event"]
TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype"), gx.Regression("age")]
SMALL = ["--n-genes", "20", "--max-epochs", "2", "--perturb", "3"]
FILES = {"model.safetensors", "scores.csv", "predictions.csv", "genes.csv", "history.csv", "report.html", "run.json"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder of gexcore train, with survival, a class and a number."""
    out = tmp_path_factory.mktemp("trained") / "out"
    assert main(["train", *DEMO, *SURVIVAL, "--classes", "subtype", "--numbers", "age", *SMALL, "--out", f"{out}"]) == 0
    return out


def refused(capsys, arguments):
    """The one line that a command says when it refuses its arguments."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"gexcore {arguments[0]}: error: ")
    return lines[0]


class Text(HTMLParser):
    """The text of a page."""

    def __init__(self, path):
        super().__init__()
        self.parts = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_data(self, data):
        self.parts.append(data)

    def __str__(self):
        return " ".join(" ".join(self.parts).split())
