"""The report of a model applied to other patients: whether their file fits, what is predicted, how well where known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from anndata import AnnData

from ..metrics import HEADLINES, LOWER_IS_BETTER
from ..plots import METRIC_NAMES
from ..tasks import ClassPrediction, Prediction, SurvivalPrediction, counted, first_ids
from .page import Block, Points, Section, Table, Text, number, page
from .patients import round_times
from .training import FEW_PATIENTS, footer, headline_scores, made, notes, survival_picture, with_interval


@dataclass(frozen=True)
class Application:
    """What a prediction report tells of.

    ``genes`` is of :func:`gexcore.gene_report`, ``scores`` of :func:`score_models` (empty without labels); ``absent``
    says what the model does about genes that are not there, ``harmonised`` by which method the values were brought to
    the training scale, ``off_scale`` that they do not look as in training.
    """

    model: str
    cohort: AnnData
    genes: pd.DataFrame
    predictions: Mapping[str, Prediction]
    scores: pd.DataFrame
    absent: str
    harmonised: str | None
    off_scale: bool
    run: Mapping[str, Any]


def prediction_report(application: Application) -> str:
    """One page of html about predictions."""
    sections = [
        Section("Does the file fit the model?", _fit(application)),
        Section("What is predicted", _predictions(application)),
        Section("How well it predicts here", _scores(application)),
        Section("What to doubt", [Points(_doubts(application))]),
        made(application.run),
    ]
    title = f"{application.model}: predictions for {counted(application.cohort.n_obs, 'patient', 'patients')}"
    return page(title, _summary(application), [s for s in sections if s.blocks], footer=footer(application.run))


def gene_counts(genes: pd.DataFrame) -> dict[str, int]:
    """How many genes of the model are present and absent, and how many of the file are extra."""
    return {status: int((genes["status"] == status).sum()) for status in ("present", "absent", "extra")}


def _coverage(application: Application) -> str:
    n = gene_counts(application.genes)
    wanted = n["present"] + n["absent"]
    are = "is" if n["present"] == 1 else "are"
    return f"{n['present']:,} of the {wanted:,} genes of the model {are} in the file ({n['present'] / wanted:.0%})"


def _summary(application: Application) -> str:
    text = f"{_coverage(application)}. "
    n = gene_counts(application.genes)
    if n["present"] < n["absent"]:
        text += "Most of what the model reads is absent: take nothing from a single prediction. "
    if application.off_scale and application.harmonised is None:
        return text + (
            "The values do not look like those the model was trained on: do not use these predictions before that is "
            "explained; --harmonise quantile brings them to the training scale."
        )
    shown = headline_scores(application.scores)
    for (task, _), row in shown.head(1).iterrows():
        n_labels = len(application.predictions[task].task.read(application.cohort.obs).dropna())
        if n_labels < FEW_PATIENTS:
            which = counted(n_labels, "patient has a label", "patients have labels")
            return text + f"Only {which} of {task}, too few to say how well the model predicts for them."
        metric = METRIC_NAMES[row["metric"]].replace("Accuracy", "accuracy").replace("Mean", "mean")
        ends = f"95 % interval {number(row['low'])} to {number(row['high'])}"
        return text + f"On {task} its {metric} is {number(row['value'])} here ({ends})."
    return text + "The file brings no labels, so nothing is known of how well the model predicts for these patients."


def _fit(application: Application) -> list[Block]:
    genes, n = application.genes, gene_counts(application.genes)
    present = genes[genes["status"] == "present"]
    absent = genes.index[genes["status"] == "absent"]
    points = [f"{_coverage(application)}."]
    if n["absent"]:
        points.append(
            f"{counted(n['absent'], 'gene is', 'genes are')} absent (first {first_ids(absent)}). {application.absent}"
        )
    if n["extra"]:
        extra = genes.index[genes["status"] == "extra"]
        which = f"{counted(n['extra'], 'gene', 'genes')} of the file"
        points.append(f"Not in the model and not used: {which} ({first_ids(extra)}).")
    if present["missing"].any():
        share = f"{present['missing'].mean():.2%} of the cells of the genes that are there have no value."
        points.append(share if n["absent"] else f"{share} {application.absent}")
    if application.harmonised:
        points.append(
            f"Gene by gene, the values were brought to the training distribution ({application.harmonised}). That "
            "takes away true differences between the groups, too, and each prediction depends on the other patients."
        )
    elif application.off_scale:
        points.append(
            "More than a fifth of the genes lie far outside the training range: another platform, unit or scale. "
            "Check the file (is it on a log scale?) or use --harmonise quantile."
        )
    else:
        points.append("The values lie in the range of the training values.")
    return [Points(points), Text("genes.csv lists every gene."), *notes(application.run)]


def _predictions(application: Application) -> list[Block]:
    rows = {}
    for name, prediction in application.predictions.items():
        if isinstance(prediction, SurvivalPrediction) and prediction.survival is not None:
            times = round_times(float(prediction.survival.index[-1]))
            at = times[len(times) // 2]
            values = pd.Series(prediction.survival_at([at])[:, 0])
            rows[name] = (
                f"survival at {at:g}",
                f"{values.min():.2f} to {values.max():.2f}, median {values.median():.2f}",
            )
        elif isinstance(prediction, ClassPrediction):
            counts = prediction.labels.value_counts()
            rows[name] = ("patients per class", ", ".join(f"{label}: {count}" for label, count in counts.items()))
        else:
            values = prediction.risk if isinstance(prediction, SurvivalPrediction) else prediction.values
            rows[name] = ("value", f"{values.min():.3g} to {values.max():.3g}, median {values.median():.3g}")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["what", "over these patients"]).rename_axis("task")
    return [Table(table, "predictions.csv has a row for every patient; units are those of the training labels.")]


def _scores(application: Application) -> list[Block]:
    shown = headline_scores(application.scores)
    if shown.empty:
        return []
    rows, blocks = {}, []
    for (name, _), row in shown.iterrows():
        labels = application.predictions[name].task.read(application.cohort.obs).dropna()
        kind = application.predictions[name].task.kind
        metric = METRIC_NAMES[HEADLINES[kind]] + (" (less is better)" if row["metric"] in LOWER_IS_BETTER else "")
        events = int(labels["event"].sum()) if kind == "survival" else pd.NA
        rows[name] = (metric, len(labels), events, with_interval(row["value"], row["low"], row["high"]))
    columns = ["score", "patients", "events", application.model]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("task")
    table = table.astype({"events": "Int64"}).dropna(axis="columns", how="all")
    blocks.append(Table(table, "With 95 % intervals over resampled patients. scores.csv has all scores."))
    for name, prediction in application.predictions.items():
        if name in rows and isinstance(prediction, SurvivalPrediction):
            cut = float(prediction.risk.median())
            blocks.append(survival_picture(name, prediction, application.cohort, cut=cut, by="patients of this file"))
    return blocks


def _doubts(application: Application) -> list[str]:
    texts = [
        "A model is at home in the cohort it was trained on. On another platform and in another hospital it may rank "
        "patients well and still be wrong about each one's survival time.",
        "This is a research model. It is no medical device, and no decision about a patient may rest on it.",
    ]
    if len(application.scores):
        texts.insert(0, "Where patients of this file were in the training, the scores flatter the model.")
    if gene_counts(application.genes)["absent"]:
        texts.insert(0, "Absent genes cost accuracy, more where the model relies on them.")
    return texts
