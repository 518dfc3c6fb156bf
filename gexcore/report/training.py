"""The report of a training: what was predicted and how well, for whom, by which genes, and what to doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ..metrics import HEADLINES
from ..plots import METRIC_NAMES, plot_effects, plot_history, plot_kaplan_meier
from ..tasks import Prediction, SurvivalPrediction, Task, counted, first_ids
from .page import Block, Picture, Points, Section, Table, Text, number, page, picture
from .patients import risk_groups
from .scores import verdict

_FEW_EVENTS = 50  # below it a C-index is a rough number
FEW_PATIENTS = 10  # with a label; below it a score says nothing, and no model is better than another
_VISIBLE = 1e-3  # smallest difference of two scores, as a share of them, that is worth a word
_FIGURES = 3  # of one kind at most; the tables have the rest


@dataclass(frozen=True)
class Training:
    """What a training report tells of; the first model in ``scores`` is the one that was trained, the second its rival.

    ``predictions`` are of the test samples, ``cuts`` the median risks of the training samples by task; ``scores`` is of
    :func:`score_models`, ``effects`` of :func:`gexcore.interpret.gene_effects` in ``asked`` test patients; ``run`` is
    the record of the run.
    """

    model: str
    tasks: Sequence[Task]
    parts: Mapping[str, AnnData]  # train, val, test
    predictions: Mapping[str, Prediction]
    cuts: Mapping[str, float]
    scores: pd.DataFrame
    effects: pd.DataFrame
    asked: int
    history: pd.DataFrame
    run: Mapping[str, Any]


def training_report(training: Training) -> str:
    """One page of html about a training."""
    sections = [
        Section("How well it predicts", _scores(training)),
        Section("Survival of the test patients by predicted risk", _kaplan_meier(training)),
        Section("Genes that move the predictions", _effects(training)),
        Section("What to doubt", [Points(doubts(training))]),
        Section("The patients", _patients(training)),
        Section("The training", _history(training)),
        made(training.run),
    ]
    title = f"{training.model}: training report"
    return page(title, _summary(training), [s for s in sections if s.blocks], footer=footer(training.run))


def headline_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of :func:`score_models` that have an interval, with task and model as index."""
    return scores[scores["low"].notna()].set_index(["task", "model"])


def with_interval(value: float, low: float, high: float) -> str:
    """``0.724 (0.620 to 0.821)``, which breaks over lines after the value only."""
    return f"{number(value)} " + f"({number(low)} to {number(high)})".replace(" ", "\N{NO-BREAK SPACE}")


def _summary(training: Training) -> str:
    shown, (model, rival, *_) = headline_scores(training.scores), training.scores["model"].unique()
    n = {name: part.n_obs for name, part in training.parts.items()}
    text = f"{model} learned from {counted(n['train'], 'patient', 'patients')} "
    text += f"and was tested on {n['test']} it had not seen. "
    for task in training.tasks[:1]:
        if (task.name, model) in shown.index:
            row, theirs = shown.loc[(task.name, model)], shown.loc[(task.name, rival)]
            text += _in_words(task, row, rival, theirs["value"])
    said = list(_verdicts(training).values())
    better, worse = (said.count(verdict) or "none" for verdict in ("better", "worse"))
    if not said:
        return text + "No test patient has a label, so nothing is known of how well it predicts."
    if better == worse == "none":
        where = "On so few patients" if len(said) == 1 else f"On so few patients, in none of {len(said)} tasks"
        return f"{text}{where} {'the two cannot' if len(said) == 1 else 'can the two'} be told apart."
    if len(said) == 1:
        return text + f"It is clearly {said[0]} than the {rival}."
    return text + f"Of {len(said)} tasks it is clearly better than the {rival} in {better}, worse in {worse}."


def _in_words(task: Task, row: pd.Series, rival: str, theirs: float) -> str:
    value, other = row["value"], f"a {rival} on the same patients"
    if task.kind == "regression":
        ends = f"95 % interval {number(row['low'])} to {number(row['high'])}"
        return f"Its {task.name} is off by {number(value)} on average ({ends}); {other} by {number(theirs)}. "
    ends = f"95 % interval {row['low']:.0%} to {row['high']:.0%}"
    what = "It names the right class"
    if task.kind == "survival":
        what = "Of two patients it names the one with the earlier event"
    return f"{what} ({task.name}) in {value:.0%} of cases ({ends}); {other} in {theirs:.0%}. "


def _verdicts(training: Training) -> dict[str, str]:
    """Task to what the interval of the difference says; nothing where few have labels or no digit shows it."""
    shown, rival = headline_scores(training.scores), training.scores["model"].unique()[1]
    said = {}
    for task in training.tasks:
        if (task.name, rival) in shown.index:
            row = shown.loc[(task.name, rival)]
            visible = abs(row["less_than_first"]) > _VISIBLE * abs(row["value"])
            enough = len(task.read(training.parts["test"].obs).dropna()) >= FEW_PATIENTS
            told = verdict(row["metric"], row["less_low"], row["less_high"])
            said[task.name] = told if visible and enough else "not told apart"
    return said


def _scores(training: Training) -> list[Block]:
    shown, models = headline_scores(training.scores), training.scores["model"].unique()
    test, said, rows = training.parts["test"], _verdicts(training), {}
    for task in training.tasks:
        labels = task.read(test.obs).dropna()
        row = {"score": METRIC_NAMES[HEADLINES[task.kind]]}
        row |= {"patients": len(labels), "events": int(labels["event"].sum()) if task.kind == "survival" else pd.NA}
        for model in models:
            known = (task.name, model) in shown.index
            values = shown.loc[(task.name, model), ["value", "low", "high"]] if known else None
            row[model] = with_interval(*values) if known else "no score"
            if known and model == models[-1]:
                row[model] = number(values["value"])
        rows[task.name] = row | {"verdict": said.get(task.name, "not told apart")}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")
    table["events"] = table["events"].astype("Int64")
    caption = (
        f"On the {test.n_obs} test patients, with 95 % intervals over resampled patients. The {models[1]} is a ridge "
        "Cox model for survival, penalised logistic regression for classes and ridge regression for numbers, on the "
        f"same genes and patients; the {models[2]} knows no gene. Of errors less is better. "
        f"The verdict says how {models[0]} does against the {models[1]}. scores.csv has all scores."
    )
    return [Table(table if table["events"].notna().any() else table.drop(columns="events"), caption)]


def _kaplan_meier(training: Training) -> list[Block]:
    survival = {n: p for n, p in training.predictions.items() if isinstance(p, SurvivalPrediction)}
    return [
        survival_picture(name, prediction, training.parts["test"], cut=training.cuts[name], by="training patients")
        for name, prediction in list(survival.items())[:_FIGURES]
        if len(prediction.task.read(training.parts["test"].obs).dropna())
    ]


def survival_picture(name: str, prediction: SurvivalPrediction, cohort: AnnData, *, cut: float, by: str) -> Picture:
    """Kaplan-Meier curves of patients above and below a predicted risk; ``by`` says whose median that risk is."""
    table, p = risk_groups(prediction, cohort.obs, cut=cut)
    counts = table.groupby("group", observed=True)["event"].agg(["size", "sum"])
    parts = [
        f"{group}: {counted(size, 'patient', 'patients')}, {counted(int(events), 'event', 'events')}"
        for group, size, events in counts.itertuples()
    ]
    unit = f"unit of {prediction.task.time}"
    told = "There is one group only" if np.isnan(p) else f"Log-rank p {'< 0.001' if p < 0.001 else f'= {p:.2g}'}"
    return picture(
        lambda ax: plot_kaplan_meier(table["time"], table["event"], table["group"], unit=unit, at_risk=True, ax=ax),
        alt=f"Kaplan-Meier curves of {name} by predicted risk. {'; '.join(parts)}. {told}.",
        caption=(
            f"{name}, {'; '.join(parts)}. {told}. Groups lie below and above the median predicted risk of the {by}; "
            f"time is in the unit of the column {prediction.task.time}, numbers below the axis are patients at risk."
        ),
        size=(5.6, 4.2),
    )


def _effects(training: Training) -> list[Block]:
    effects = training.effects.dropna(subset="effect")
    effects = effects[effects["effect"] != 0]
    if effects.empty:
        return []
    kinds = {task.name: task.kind for task in training.tasks}
    order = effects.sort_values("effect", key=abs, ascending=False, kind="stable").drop_duplicates("task")
    order = order[["task", "output"]].sort_values("task", key=lambda column: column.map(list(kinds).index))
    order = order.sort_values("task", key=lambda column: column.map(kinds).ne("survival"), kind="stable")
    n = effects["gene"].nunique()
    blocks: list[Block] = [
        Text(
            f"{f'Each of {n} genes' if n > 1 else 'One gene'} was raised and lowered by one standard deviation in "
            f"{counted(training.asked, 'test patient', 'test patients')}, all others as they were; shown is the "
            "mean change of the prediction with one step up. This asks the model, not the tumour: it is no proof of a "
            "cause. genes.csv has all of them."
        )
    ]
    for task, output in order.head(_FIGURES).itertuples(index=False):
        part = effects[(effects["task"] == task) & (effects["output"] == output)]
        top = part.reindex(part["effect"].abs().sort_values(ascending=False, kind="stable").index)["gene"]
        what = {"survival": "risk (to the right: worse)", "classification": "probability"}.get(kinds[task], "value")
        blocks.append(
            picture(
                lambda ax, task=task, output=output: plot_effects(effects, task=task, output=output, ax=ax),
                alt=f"Genes with the largest effect on {task} {output}: {first_ids(top, 10)}",
                caption=f"{task} {output}".strip()
                + f": change of the predicted {what} with one step up. Hollow: one model gives no interval.",
                size=(5.6, 3.2),
            )
        )
    return blocks


def doubts(training: Training) -> list[str]:
    """What a careful reader of the results would ask."""
    shown, (model, rival, *_) = headline_scores(training.scores), training.scores["model"].unique()
    test, said, texts = training.parts["test"], _verdicts(training), []
    for task in training.tasks:
        labels = task.read(test.obs).dropna()
        if not len(labels):
            texts.append(f"{task.name}: no test patient has a label, so nothing is known of how well it is predicted.")
        elif len(labels) < FEW_PATIENTS:
            who = counted(len(labels), "test patient has a label", "test patients have a label")
            texts.append(f"{task.name}: only {who}, so its score says nothing yet.")
        elif task.kind == "survival" and (n := int(labels["event"].sum())) < _FEW_EVENTS:
            ends = shown.loc[(task.name, model)] if (task.name, model) in shown.index else None
            reach = (
                "" if ends is None else f": its C-index may be anything from {ends['low']:.2f} to {ends['high']:.2f}"
            )
            texts.append(f"{task.name}: only {counted(n, 'test patient', 'test patients')} had the event{reach}.")
    if not_ahead := [name for name, told in said.items() if told != "better"]:
        texts.append(
            f"For {first_ids(not_ahead, 6)} {model} is not shown to be better than the {rival}, which is easier to "
            "explain and to check."
        )
    texts.append(
        "One division of the patients was tested; another gives other numbers, often by more than the models differ. "
        "gexcore benchmark repeats it over many."
    )
    texts.append(
        "All patients come from one cohort. Another hospital measures other values: gexcore predict says whether they "
        "fit, and scores them where labels are known."
    )
    texts.append("This is a research model. It is no medical device, and no decision about a patient may rest on it.")
    return texts


def _patients(training: Training) -> list[Block]:
    rows = {}
    for name, part in training.parts.items():
        row: dict[str, Any] = {"patients": part.n_obs}
        for task in training.tasks:
            labels = task.read(part.obs).dropna()
            row[task.name] = f"{len(labels)}"
            if task.kind == "survival":
                row[task.name] += f" ({counted(int(labels['event'].sum()), 'event', 'events')})"
        rows[{"train": "training", "val": "validation"}.get(name, name)] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("part")
    caption = "Patients with a label of each task. Validation patients only said when to stop."
    return [Table(table, caption), *notes(training.run)]


def _history(training: Training) -> list[Block]:
    history, n_genes = training.history, training.parts["train"].n_vars
    followed = history[history["task"] == "mean"]
    best = followed[followed["split"] == "val"].set_index("epoch")["loss"]
    last = int(history["epoch"].max())
    epochs = counted(last, "epoch", "epochs")
    text = f"{training.model} read {counted(n_genes, 'gene', 'genes')} and was trained for {epochs}."
    if len(best):
        text += f" The weights kept are those of epoch {best.idxmin()}, the best on the validation patients."
    alt = f"Training and validation loss over {epochs}."
    caption = "Loss in units of what a prediction without any gene would have (1 = nothing learned)."
    return [Text(text), picture(lambda ax: plot_history(history, ax=ax), alt=alt, caption=caption, size=(6.4, 3.2))]


# ------------------------------------------------------------------------------ what every report has


def notes(run: Mapping[str, Any]) -> list[Block]:
    """What was noted of the data while they were read."""
    return [Text("Noted while reading and computing:"), Points(run["notes"])] if run["notes"] else []


def made(run: Mapping[str, Any]) -> Section:
    """Command, versions and files of a run."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    points = [f"Command: {run['command']}", f"Versions: {versions}"]
    points += [] if run["seed"] is None else [f"Seed: {run['seed']}"]
    points += [f"Read: {path} (sha256 {checksum[:16]}…)" for path, checksum in run["inputs"].items()]
    return Section("How this was made", [Points(points)])


def footer(run: Mapping[str, Any]) -> str:
    """The last line of a report."""
    made_by = f"gexcore {run['versions']['gexcore']}, {run['date']}"
    return f"{made_by}. Research use only. run.json beside this page has the record."
