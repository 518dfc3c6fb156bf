"""``gexcore predict``: a trained model applied to the file of another cohort."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from anndata import AnnData

from ..estimator import NeuralEstimator
from ..genes import align_genes, gene_report
from ..gexbert import GexBERT
from ..models import load_model
from ..report import Application, gene_counts, patient_table, prediction_report, score_models
from ..tasks import CohortWarning, Prediction, SurvivalPrediction, counted, first_ids
from .options import add_reading, read, share
from .output import check_output, record, write_folder

_UNITS_APART = 8.0  # of two follow-ups: a year has 12 months, a month 30 days
_AT_MEAN = "They count as missing: the model takes each at its training mean."
_ABSENT = {  # what a model does about values that are not there
    "FineTuned": (
        "They are not read: the pretrained encoder takes whatever genes there are, and its linear path restores from "
        "them what the others would have said."
    )
}

_FILES = """\
FOLDER will hold report.html (start there: it says whether the file fits the model), predictions.csv (a row per
patient), genes.csv (present, absent, extra), scores.csv where --clinical has labels, and run.json.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "predict",
        help="apply a trained model to other patients, and report whether their file fits it",
        description="Apply a trained model to other patients, and report whether their file fits it.",
        epilog=_FILES,
    )
    parser.set_defaults(command=_predict)
    parser.add_argument("model_file", type=Path, metavar="MODEL", help="model.safetensors of gexcore train")
    add_reading(parser, clinical="labels, to score the predictions where they are known")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="a new folder for all that is written"
    )
    how = parser.add_argument_group("how the file is brought to the model")
    how.add_argument(
        "--harmonise", choices=("quantile", "zscore"), help="bring another platform or unit to the training scale first"
    )
    how.add_argument(
        "--min-coverage",
        default=0.5,
        type=share,
        metavar="SHARE",
        help="a file with a smaller share of the model's genes is refused; default: 0.5",
    )


def _predict(options: argparse.Namespace) -> int:
    check_output(options.out)
    model = load_model(options.model_file)
    if isinstance(model, GexBERT):
        message = (
            f"{options.model_file} holds a GexBERT, which predicts no task; gexcore impute --model fills in expression "
            "with it"
        )
        raise ValueError(message)
    cohort = read(options)
    genes = gene_report(cohort, model.genes_)
    if not gene_counts(genes)["present"] and options.min_coverage == 0:
        message = f"{options.expression} has none of the model's genes: every patient would get the same prediction"
        raise ValueError(message)
    known = _labelled(model, cohort, options)
    predictions = model.predict(cohort, harmonise=options.harmonise, min_coverage=options.min_coverage)
    _check_units({task: predictions[task] for task in known}, cohort)
    off_scale = _is_off_scale(model, cohort)
    if off_scale and options.harmonise is None:
        warnings.warn("--harmonise quantile brings values to the training scale", CohortWarning, stacklevel=2)
    name = {"FineTuned": "Fine-tuned GexBERT"}.get(type(model).__name__, type(model).__name__)
    scores = score_models({name: {task: predictions[task] for task in known}}, cohort)
    run = record(options, {"samples": cohort.n_obs, **gene_counts(genes)})
    absent = _ABSENT.get(type(model).__name__, _AT_MEAN)
    application = Application(
        name, cohort, genes, predictions, scores, absent, options.harmonise, off_scale=off_scale, run=run
    )
    tables = {"predictions.csv": patient_table(predictions), "genes.csv": genes}
    if known:
        tables["scores.csv"] = scores.drop(columns=["less_than_first", "less_low", "less_high"]).set_index("task")
    write_folder(options.out, tables=tables, texts={"report.html": prediction_report(application)}, run=run)
    n = gene_counts(genes)
    print(
        f"{counted(cohort.n_obs, 'patient', 'patients')}; {n['present']} of the model's {len(model.genes_)} genes "
        f"found ({n['present'] / len(model.genes_):.0%}), {counted(n['extra'], 'other', 'others')} of the file not used"
    )
    print(f"wrote {options.out}: open {options.out / 'report.html'}")
    return 0


def _labelled(model: NeuralEstimator, cohort: AnnData, options: argparse.Namespace) -> list[str]:
    """Tasks that these patients have labels of; a clinical table that lacks some is noted."""
    known = [task for task in model.tasks if all(column in cohort.obs for column in task.columns)]
    absent = [column for task in model.tasks if task not in known for column in task.columns]
    if absent and options.clinical is not None:
        message = f"the clinical table lacks {first_ids(absent, 6)}: their predictions are not scored"
        warnings.warn(message, CohortWarning, stacklevel=2)
    return [task.name for task in known if len(task.read(cohort.obs).dropna())]


def _check_units(predictions: dict[str, Prediction], cohort: AnnData) -> None:
    """Note follow-up that is as much longer or shorter than in training as one unit of time is than another."""
    for name, prediction in predictions.items():
        if isinstance(prediction, SurvivalPrediction) and prediction.survival is not None:
            here = prediction.task.read(cohort.obs)["time"].max()
            there = float(prediction.survival.index[-1])
            if not 1 / _UNITS_APART < here / there < _UNITS_APART:
                message = (
                    f"{name}: follow-up reaches {here:g} here and {there:.4g} in the training; if its unit is another "
                    "one, predicted times are in that of the training"
                )
                warnings.warn(message, CohortWarning, stacklevel=2)


def _is_off_scale(model: NeuralEstimator, cohort: AnnData) -> bool:
    """Whether the values as they stand in the file lie elsewhere than those of training."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CohortWarning)
        expression = align_genes(cohort, model.genes_, min_coverage=0.0)
        before = len(caught)
        model.scaler_.check_range(expression)
    return len(caught) > before
