"""Controls that a model of expression has to beat: no gene at all, clinical columns beside the genes, and labels first.

The last is the rival of multitask learning: it hands on what it learned of the clinical labels as plain numbers.
Shapes: N samples, G genes, D clinical columns, L predicted labels, K time points.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
from anndata import AnnData
from lifelines import KaplanMeierFitter

from ..cohort import as_cohort
from ..cohort.checks import refuse_unfitted
from ..tasks import Prediction, Survival, Task, check_tasks
from .classical import ClinicalCox, LinearModel, _folds, _survival_prediction
from .classifiers import Majority
from .ridge_cox import _SPREADS, CoxFit, RidgeCox, _components, _cross_validated, check_events


class Null(Majority):
    """What is known without a gene: the Kaplan-Meier curve, class frequencies or mean of the training samples.

    All risks are equal, so the concordance is one half; its ``ibs`` is what survival curves have to improve on.

    Parameters
    ----------
    tasks : task or sequence of tasks
        What to predict: any of :class:`Survival`, :class:`Classification` and :class:`Regression`.
    seed : int
        Accepted so that every model is made alike; nothing here is random.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Survival("os", time="os_time", event="os_event")
    >>> Null(task).fit(cohort).predict(cohort)["os"].survival_at([0, 60])[0].round(2).tolist()
    [1.0, 0.62]
    """

    kinds = ("survival", "classification", "regression")

    def _fit_task(self, task: Task, x: np.ndarray, labels: pd.Series | pd.DataFrame) -> pd.Series | float:
        if task.kind != "survival":
            return super()._fit_task(task, x, labels)
        return KaplanMeierFitter().fit(labels["time"], labels["event"]).survival_function_["KM_estimate"]

    def _predict_task(self, task: Task, model: pd.Series | float, x: np.ndarray, samples: pd.Index) -> Prediction:
        if task.kind != "survival":
            return super()._predict_task(task, model, x, samples)
        curves = np.tile(model.to_numpy(), (len(samples), 1))  # (N, K)
        return _survival_prediction(task, np.zeros(len(samples)), model.index.to_numpy(), curves, samples)


class ClinicalExpressionCox(RidgeCox):
    """Cox regression on clinical columns and expression together, with a ridge penalty that spares the former.

    Against :class:`ClinicalCox` it says what expression adds to the clinic; against a model of expression, what the
    clinic knows beside the genes.

    Parameters
    ----------
    task : Survival or a sequence of them
        What to predict.
    covariates : sequence of str
        Columns of ``obs``, coded and filled as in :class:`ClinicalCox`.
    clinical_penalty : float
        That of :class:`ClinicalCox`: weak, so that clinical columns need not compete with thousands of genes.
    penalty : float, optional
        Weight of half the sum of squared coefficients of the genes. None chooses it as :class:`RidgeCox` does.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the folds of the inner cross-validation.

    Attributes
    ----------
    models_ : dict of str to CoxFit
        By task: coefficients of the D clinical columns and then of the G genes, and the penalty of the genes.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Survival("os", time="os_time", event="os_event")
    >>> train, _, test = gx.split(cohort, task, seed=0)
    >>> model = ClinicalExpressionCox(task, covariates=["age", "grade"]).fit(train)
    >>> model.predict(test)["os"].risk.shape
    (80,)
    """

    def __init__(
        self,
        task: Survival | Sequence[Survival],
        *,
        covariates: Sequence[str],
        clinical_penalty: float = 0.01,
        penalty: float | None = None,
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(task, penalty=penalty, clip=clip, seed=seed)
        if not clinical_penalty > 0:
            message = f"clinical_penalty is a positive number, not {clinical_penalty!r}"
            raise ValueError(message)
        self.clinical = ClinicalCox(task, covariates=covariates, penalty=clinical_penalty)

    def _learn_inputs(self, train: AnnData) -> np.ndarray:
        self.clinical = copy.copy(self.clinical)
        return np.column_stack([self.clinical._learn_inputs(train), super()._learn_inputs(train)])  # (N, D + G)

    def _inputs(self, cohort: AnnData) -> np.ndarray:
        return np.column_stack([self.clinical._inputs(cohort), super()._inputs(cohort)])

    def _fit_task(self, task: Survival, x: np.ndarray, labels: pd.DataFrame) -> CoxFit:
        check_events(task, labels)
        genes = len(self.genes_)
        spread = x[:, :-genes].std(axis=0, ddof=1)
        # a column s times as large is penalised 1/s^2 as much: one penalty for all columns becomes two
        spared = 1 / np.where(spread > 0, spread, 1.0) / np.sqrt(self.clinical.penalty * len(x))  # (D,)
        penalty = self.penalty or self._choose_penalty(x[:, :-genes] * spared, x[:, -genes:], labels)
        scale = np.append(np.sqrt(penalty) * spared, np.ones(genes))
        fit = RidgeCox(task, penalty=penalty)._fit_task(task, x * scale, labels)
        return replace(fit, coefficient=fit.coefficient * scale, centre=fit.centre / scale)

    def _choose_penalty(self, clinical: np.ndarray, genes: np.ndarray, labels: pd.DataFrame) -> float:
        """Penalty of the genes (N, G) that goes best with clinical columns (N, D), which have a penalty of 1."""
        order = np.argsort(-labels["time"].to_numpy(), kind="stable")
        time, event = labels["time"].to_numpy()[order], labels["event"].to_numpy()[order]
        folds = _folds(labels["event"], seed=self.seed)[order]
        components = _components(genes - genes.mean(axis=0))[0]
        penalties = (components**2).sum() / len(components) / _SPREADS**2
        scores = []
        for penalty in penalties:
            z = np.column_stack([np.sqrt(penalty) * clinical, components])[order]
            setting = {"counts": np.array([z.shape[1]]), "penalties": np.array([penalty])}
            scores.append(_cross_validated(z, time, event, folds, **setting)[0])
        return float(penalties[np.argmax(scores)])


class TwoStage:
    """Predict the clinical labels from expression, then survival from the predicted labels.

    What multitask learning gains over a model of survival alone may be no more than this.

    Parameters
    ----------
    tasks : sequence of tasks
        At least one :class:`Survival`, and at least one :class:`Classification` or :class:`Regression` to predict it
        from: the tasks of a multitask model.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the folds of both stages.

    Attributes
    ----------
    labels_ : LinearModel
        Stage one, of all training samples.
    hazard_ : RidgeCox
        Stage two; its genes are the predicted labels, a probability for each class and a value for each number.

    Notes
    -----
    Stage two learns from labels of the training samples that were predicted by models which had not seen them, in five
    folds. The labels that a model of many genes gives to its own training samples are nearly the true ones, and a stage
    two that learned from them would trust expression with all that the true labels know (stacking, Wolpert 1992).

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> tasks = [gx.Survival("os", time="os_time", event="os_event"), gx.Regression("age")]
    >>> train, _, test = gx.split(cohort, tasks, seed=0)
    >>> list(TwoStage(tasks).fit(train).predict(test))
    ['os', 'age']
    """

    kinds = ("survival", "classification", "regression")

    def __init__(self, tasks: Sequence[Task], *, clip: float | None = 5.0, seed: int = 0) -> None:
        self.tasks, self.clip, self.seed = check_tasks(tasks), clip, seed
        self._survival = [t for t in self.tasks if t.kind == "survival"]
        self._clinical = [t for t in self.tasks if t.kind != "survival"]
        if not (self._survival and self._clinical):
            named = ", ".join(f"{t.name} ({t.kind})" for t in self.tasks)
            message = f"TwoStage predicts survival from other labels and needs a task of either sort, got {named}"
            raise ValueError(message)

    def fit(self, train: AnnData, val: AnnData | None = None) -> Self:
        """Learn from the training samples; ``val`` is not used."""
        train = as_cohort(train)
        for task in self._survival:
            check_events(task, task.read(train.obs).dropna())
        labels = self._linear(self._clinical).fit(train)
        unseen = pd.concat([self._out_of_fold(task, train) for task in self._clinical], axis=1)  # (N, L)
        self.hazard_ = RidgeCox(self._survival, seed=self.seed).fit(_as_genes(unseen, train))
        self.labels_ = labels
        return self

    def predict(self, test: AnnData) -> dict[str, Prediction]:
        """Predictions by task name, indexed by the sample ids of ``test``."""
        refuse_unfitted(self, "labels_")
        test = as_cohort(test)
        labels = self.labels_.predict(test)
        predicted = pd.concat([_columns(prediction) for prediction in labels.values()], axis=1)  # (N, L)
        both = labels | self.hazard_.predict(_as_genes(predicted, test))
        return {task.name: both[task.name] for task in self.tasks}

    def _linear(self, tasks: Task | Sequence[Task]) -> LinearModel:
        return LinearModel(tasks, clip=self.clip, seed=self.seed)

    def _out_of_fold(self, task: Task, train: AnnData) -> pd.DataFrame:
        """Labels of all training samples, each predicted by a model of the other folds."""
        fold = _folds(task.read(train.obs).rank(), seed=self.seed)
        parts = [
            _columns(self._linear(task).fit(train[fold != k].copy()).predict(train[fold == k].copy())[task.name])
            for k in np.unique(fold)
        ]
        return pd.concat(parts).fillna(0.0).loc[train.obs_names]  # a class that a fold did not see has probability 0


def _columns(prediction: Prediction) -> pd.DataFrame:
    """Predicted numbers of one label: a column for each class, or one."""
    if prediction.task.kind == "regression":
        return prediction.values.to_frame()
    return prediction.probabilities.add_prefix(f"{prediction.task.name} = ")


def _as_genes(table: pd.DataFrame, cohort: AnnData) -> AnnData:
    """The cohort with the columns of a table in place of its genes."""
    return AnnData(table.to_numpy("float32"), obs=cohort.obs.copy(), var=pd.DataFrame(index=table.columns))
