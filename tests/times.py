"""About how long a chapter takes at its defaults and at the paper's scale; as a script it writes the table of the book.

``python notebooks/run.py -o elsewhere > times.log; python tests/times.py times.log`` writes book/times.csv. Defaults
are measured. The paper's scale is never run for it: trainings are counted and turned into hours by what was recorded
of one step on two cores, and by an assumed speed of a GPU. Where small networks are only trained longer or more often,
the default is multiplied. All of it is rounded, since it tells minutes from days and no more.
"""

import csv
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "book" / "times.csv"
HEADER = ["chapter", "default, s", "paper scale, 2 cores", "paper scale, GPU", "how the paper scale was estimated"]
GPU = 5e12  # operations per second, assumed: a quarter of what a GPU of 20 TFLOP/s could do at best
GPU_STEP = 0.05  # seconds, assumed: no step takes less, however small it is
SMALL = 3e10  # operations per second of the preset quick, whose matrices are narrow; beyond_cost.csv has 2 to 4e10


@dataclass(frozen=True)
class TxT:
    """Trainings of TxT: how many, on how many patients and genes, for how many epochs, with a network of which form."""

    fits: int
    patients: int  # of the training part
    genes: int
    epochs: int = 100  # assumed: early stopping decides
    tasks: int = 5
    surgery: bool = True  # PCGrad as published: a backward pass for each task
    layers: int = 8
    width: int = 64
    hidden: int = 256
    batch: int = 64

    def steps(self) -> int:
        """Training steps of all fits."""
        return self.fits * self.epochs * math.ceil(self.patients / self.batch)

    def operations(self) -> float:
        """Multiplications and additions of one step: projections, attention and feed-forward layers."""
        g, w = self.genes, self.width
        forward = 8 * g * w**2 + 4 * g**2 * w + 4 * g * w * self.hidden
        passes = 1 + 2 * self.tasks if self.surgery else 3
        return self.batch * self.layers * passes * forward


@dataclass(frozen=True)
class GexBERT:
    """Trainings of GexBERT in the paper's form, as speed_gexbert.csv has one step of it."""

    fits: int
    patients: int
    genes: int
    epochs: int = 200

    def steps(self) -> int:
        """Training steps of all fits."""
        return self.fits * self.epochs * math.ceil(self.patients / 64)

    def operations(self) -> float:
        """Those of the recorded step, in proportion to the genes."""
        row = _row("speed_gexbert", what="pretraining", implementation="package", precision="float32")
        return float(row["gflop"]) * 1e9 * self.genes / float(row["genes"])


@dataclass(frozen=True)
class Longer:
    """The same small networks, so many times as much of the default's work."""

    times: float
    why: str


NOTHING = "nothing to enlarge"
DEMO, TRANSBIG, PAN_CANCER = (280, 200), (138, 76), (700, 300)  # patients to train, genes
CHAPTERS: dict[str, list | str] = {
    "01_meet_the_cohorts": NOTHING,
    "02_build_txt": [TxT(1, *DEMO)],
    "03_predict_survival": [TxT(10, *TRANSBIG), TxT(10, *TRANSBIG, tasks=1)],
    "04_learn_gene_vectors": [TxT(30, *DEMO)],
    "05_combine_task_gradients": [TxT(60, *TRANSBIG)],
    "06_test_generalisation": [TxT(22, *TRANSBIG)],
    "07_map_patients": [TxT(1, *DEMO)],
    "08_ablate_parts": [TxT(82, *TRANSBIG)],
    "09_meet_the_rivals": Longer(5 * 5, "ten divisions for two, 40 epochs for 8"),
    "10_compare_all_methods": [TxT(200, *DEMO, tasks=1), TxT(30, *DEMO)],
    "11_read_the_recorded_benchmark": NOTHING,
    "12_perturb_genes": Longer(10 / 3 * 4, "ten models for three, 80 patients for 20"),
    "13_compare_attention": Longer(20 / 3 * 5, "twenty seeds for three, 40 epochs for 8"),
    "14_contrast_patient_groups": Longer(2, "1000 shuffles for 200"),
    "15_follow_one_pair": Longer(4 * 1.6, "eight layers for two, 40 epochs for 25"),
    "16_question_attention": Longer(8 / 3 * 40 / 12 * 2, "eight seeds for three, 40 epochs for 12, all patients"),
    "17_pretrain_gexbert": [GexBERT(5, *PAN_CANCER)],
    "18_classify_from_few_genes": Longer(10 * 7 / 4 * 2, "ten draws for two, seven sizes for four, fine-tuning"),
    "19_restore_anchor_genes": Longer(5 * 3 * 3, "ten folds for two, six cancers for two, 15 epochs for 2"),
    "20_impute_expression": [GexBERT(5, *PAN_CANCER)],
    "21_read_attention": [GexBERT(1, *PAN_CANCER)],
    "22_join_both_papers": Longer(5 * 6, "300 genes for 48, 400 steps for 80"),
    "23_measure_speed": NOTHING,
    "24_read_more_genes": [TxT(30, *DEMO)],
    "25_check_raw_files": NOTHING,
    "26_bring_your_own_cohort": NOTHING,
    "27_step_into_pitfalls": NOTHING,
    "28_sum_up_what_replicates": NOTHING,
}


def _row(table: str, **wanted: str) -> dict[str, str]:
    """The one row of a recorded table with these values."""
    with (ROOT / "notebooks" / "recorded" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        (found,) = [row for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]
    return found


def recorded_rate() -> float:
    """Operations per second of the recorded step of the paper's network, on two cores."""
    row = _row("speed_step", what="step", form="pcgrad", precision="float32", dropout="0.1")
    measured = TxT(1, 16, int(row["genes"]), layers=int(row["layers"]), batch=int(row["batch"]))
    return measured.operations() / float(row["seconds"])


def hours(trainings: list, rate: float, shortest_step: float = 0.0) -> float:
    """Of all trainings, at so many operations per second."""
    return sum(t.steps() * max(t.operations() / rate, shortest_step) for t in trainings) / 3600


def in_words(hours: float) -> str:
    """One of few round figures: 5 min, 10 min, ..., 2 h, ..., 3 days."""
    minutes = hours * 60
    for limit, unit, step in ((55, "min", 1), (36 * 60, "h", 60)):
        if minutes < limit:
            return f"{_round(max(minutes / step, 1))} {unit}"
    days = _round(minutes / 1440)
    return f"{days} day{'s' if days > 1 else ''}"


def _round(number: float) -> int:
    """To one digit, above 10 to 1, 2 or 5."""
    power = 10 ** math.floor(math.log10(number))
    steps = (1, 2, 3, 5, 10) if number >= 10 else range(1, 11)
    return min((step * power for step in steps), key=lambda value: abs(math.log(value / number)))


def estimate(work: list | Longer | str, default: float) -> tuple[str, str, str]:
    """Paper scale on two cores, on a GPU, and how that was found."""
    if isinstance(work, str):
        return "as default", "as default", work
    if isinstance(work, Longer):
        return in_words(default * work.times / 3600), "no gain", f"default x {work.times:.0f}: {work.why}"
    fits = sum(t.fits for t in work)
    told = f"{fits} training{'s' if fits > 1 else ''}, up to {max(t.epochs for t in work)} epochs, counted operations"
    return in_words(hours(work, recorded_rate())), in_words(hours(work, GPU, GPU_STEP)), told


def rows(log: str) -> list[list[str]]:
    """A row for each chapter, from what notebooks/run.py printed."""
    seconds = {name: float(took) for name, took in re.findall(r"^(\d\d_\w+) +([\d.]+) s$", log, re.MULTILINE)}
    if absent := CHAPTERS.keys() - seconds.keys():
        message = f"the log lacks {', '.join(sorted(absent))}"
        raise ValueError(message)
    return [
        [f"{{doc}}`notebooks/{name}`", f"{10 * math.ceil(seconds[name] / 10)}", *estimate(work, seconds[name])]
        for name, work in CHAPTERS.items()
    ]


if __name__ == "__main__":
    made = rows(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *made])
