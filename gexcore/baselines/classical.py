"""Classical peers: linear models, penalised Cox regression, a clinical Cox model and a survival forest.

All of them learn one task at a time, on the training samples that have its label. ``val`` is accepted so that every
model is called alike, and not used: penalties are chosen by cross-validation inside the training samples.
Shapes: N samples, G genes, K time points.
"""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import PredefinedSplit

from ..cohort import as_cohort
from ..cohort.checks import refuse_unfitted
from ..genes import align_genes
from ..scaling import Scaler
from ..tasks import (
    ClassPrediction,
    Prediction,
    Survival,
    SurvivalPrediction,
    Task,
    ValuePrediction,
    check_tasks,
)


class _Peer(ABC):
    """Scaled expression in, one fitted model per task; a subclass says how one task is fitted and predicted."""

    kinds: ClassVar[tuple[str, ...]] = ("survival",)

    def __init__(self, tasks: Task | Sequence[Task], *, clip: float | None = 5.0, seed: int = 0) -> None:
        self.tasks, self.clip, self.seed = check_tasks(tasks), clip, seed
        strange = [f"{t.name} ({t.kind})" for t in self.tasks if t.kind not in self.kinds]
        if strange:
            message = f"{type(self).__name__} predicts {' and '.join(self.kinds)}, not {', '.join(strange)}"
            raise TypeError(message)

    def fit(self, train: AnnData, val: AnnData | None = None) -> Self:
        """Learn from the training samples; ``val`` is not used."""
        train = as_cohort(train)
        model = copy.copy(self)  # a fit that breaks off leaves this one as it was
        x, models = model._learn_inputs(train), {}
        for task in self.tasks:
            task.fit(train.obs)  # refuses labels that nothing can be learned from
            labels = task.read(train.obs)
            known = labels.notna() if labels.ndim == 1 else labels.notna().all(axis=1)
            models[task.name] = model._fit_task(task, x[known.to_numpy()], labels[known])
        model.models_ = models
        vars(self).update(vars(model))
        return self

    def predict(self, test: AnnData) -> dict[str, Prediction]:
        """Predictions by task name, indexed by the sample ids of ``test``."""
        refuse_unfitted(self, "models_")
        test = as_cohort(test)
        x = self._inputs(test)
        return {t.name: self._predict_task(t, self.models_[t.name], x, test.obs_names) for t in self.tasks}

    def _learn_inputs(self, train: AnnData) -> np.ndarray:
        self.genes_ = train.var_names
        expression = align_genes(train, self.genes_)
        self.scaler_ = Scaler.fit(expression, method="zscore", clip=self.clip)
        return self.scaler_.transform(expression).astype(float)

    def _inputs(self, cohort: AnnData) -> np.ndarray:
        return self.scaler_.transform(align_genes(cohort, self.genes_)).astype(float)

    @abstractmethod
    def _fit_task(self, task: Task, x: np.ndarray, labels: pd.Series | pd.DataFrame) -> Any:
        """The model fitted to x (N, G) and labels without missing ones."""

    @abstractmethod
    def _predict_task(self, task: Task, model: Any, x: np.ndarray, samples: pd.Index) -> Prediction:
        """The model's prediction for x (N, G)."""


class LinearModel(_Peer):
    """L2-penalised logistic regression for classes and ridge regression for numbers, on scaled expression.

    Parameters
    ----------
    tasks : Classification, Regression or a sequence of them
        What to predict.
    clip : float or None
        Largest absolute z-score of a gene; heavy tails would otherwise rule the fit.
    seed : int
        Draws the folds of the inner cross-validation.

    Notes
    -----
    The logistic penalty is the one of best log-likelihood in five folds, stratified by class; the ridge penalty
    the one of least leave-one-out error.
    """

    kinds = ("classification", "regression")

    def _fit_task(self, task: Task, x: np.ndarray, labels: pd.Series) -> LogisticRegressionCV | RidgeCV:
        if task.kind == "regression":
            return RidgeCV(alphas=np.logspace(0, 5, 11)).fit(x, labels)
        model = LogisticRegressionCV(
            Cs=np.logspace(-5, 1, 7),
            l1_ratios=(0.0,),
            cv=PredefinedSplit(_folds(labels, seed=self.seed)),
            scoring="neg_log_loss",
            max_iter=2000,
            use_legacy_attributes=False,
        )
        return model.fit(x, labels)

    def _predict_task(
        self, task: Task, model: LogisticRegressionCV | RidgeCV, x: np.ndarray, samples: pd.Index
    ) -> ClassPrediction | ValuePrediction:
        if task.kind == "regression":
            return ValuePrediction(task, pd.Series(model.predict(x), index=samples, name=task.name))
        return ClassPrediction(task, pd.DataFrame(model.predict_proba(x), index=samples, columns=model.classes_))


class ElasticNetCox(_Peer):
    """Cox regression on scaled expression with an elastic-net penalty (scikit-survival, extra ``peers``).

    Parameters
    ----------
    task : Survival or a sequence of them
        What to predict.
    l1_ratio : float
        1 = lasso, near 0 = ridge.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the folds of the inner cross-validation.

    Notes
    -----
    The penalty is the one of 30 on the regularisation path with the best concordance of out-of-fold risks, five
    folds stratified by event. Survival curves use the Breslow estimate of the baseline.
    """

    def __init__(
        self, task: Survival | Sequence[Survival], *, l1_ratio: float = 0.5, clip: float | None = 5.0, seed: int = 0
    ) -> None:
        super().__init__(task, clip=clip, seed=seed)
        self.l1_ratio = l1_ratio

    def _fit_task(self, task: Survival, x: np.ndarray, labels: pd.DataFrame) -> tuple[Any, float]:
        coxnet = _scikit_survival("linear_model", self).CoxnetSurvivalAnalysis
        concordance = _scikit_survival("metrics", self).concordance_index_censored
        y = _outcome(labels, self)
        path = coxnet(l1_ratio=self.l1_ratio, n_alphas=30, alpha_min_ratio=0.05, fit_baseline_model=True).fit(x, y)
        fold = _folds(labels["event"], seed=self.seed)
        risk = np.empty((len(y), len(path.alphas_)))
        for k in np.unique(fold):
            rest = coxnet(l1_ratio=self.l1_ratio, alphas=path.alphas_).fit(x[fold != k], y[fold != k])
            risk[fold == k] = x[fold == k] @ rest.coef_
        scores = [concordance(y["event"], y["time"], column)[0] for column in risk.T]
        return path, path.alphas_[int(np.argmax(scores))]

    def _predict_task(
        self, task: Survival, model: tuple[Any, float], x: np.ndarray, samples: pd.Index
    ) -> SurvivalPrediction:
        path, alpha = model
        curves = path.predict_survival_function(x, alpha=alpha, return_array=True)
        return _survival_prediction(task, path.predict(x, alpha=alpha), path.unique_times_, curves, samples)


class SurvivalForest(_Peer):
    """Random survival forest on scaled expression (scikit-survival, extra ``peers``).

    Parameters
    ----------
    task : Survival or a sequence of them
        What to predict.
    n_trees, min_samples_leaf : int
        Size of the forest and of its leaves.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the bootstrap samples and the genes tried at each split.

    Notes
    -----
    The risk is the expected number of events, the sum of the cumulative hazard over the training times.
    """

    def __init__(
        self,
        task: Survival | Sequence[Survival],
        *,
        n_trees: int = 100,
        min_samples_leaf: int = 15,
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(task, clip=clip, seed=seed)
        self.n_trees, self.min_samples_leaf = n_trees, min_samples_leaf

    def _fit_task(self, task: Survival, x: np.ndarray, labels: pd.DataFrame) -> Any:
        forest = _scikit_survival("ensemble", self).RandomSurvivalForest(
            n_estimators=self.n_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features="sqrt",
            n_jobs=-1,
            random_state=self.seed,
        )
        return forest.fit(x, _outcome(labels, self))

    def _predict_task(self, task: Survival, model: Any, x: np.ndarray, samples: pd.Index) -> SurvivalPrediction:
        curves = model.predict_survival_function(x, return_array=True)
        return _survival_prediction(task, model.predict(x), model.unique_times_, curves, samples)


class ClinicalCox(_Peer):
    """Cox regression on clinical columns only: what a model of expression has to add to.

    Numeric columns are standardised, others one-hot coded against their most frequent category. A missing number
    becomes the training median; a missing or unseen category becomes the most frequent one.

    Parameters
    ----------
    task : Survival or a sequence of them
        What to predict.
    covariates : sequence of str
        Columns of ``obs``.
    penalty : float
        Weight of the ridge penalty, which keeps rare categories finite.
    seed : int
        Accepted so that every model is made alike; nothing here is random.
    """

    def __init__(
        self, task: Survival | Sequence[Survival], *, covariates: Sequence[str], penalty: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__(task, seed=seed)
        self.covariates, self.penalty = list(covariates), penalty

    def _learn_inputs(self, train: AnnData) -> np.ndarray:
        obs = self._clinical(train)
        self.numeric_ = [c for c in obs if pd.api.types.is_numeric_dtype(obs[c])]
        numbers = obs[self.numeric_].astype(float)
        self.median_ = numbers.median()
        filled = numbers.fillna(self.median_)
        self.mean_, self.sd_ = filled.mean(), filled.std(ddof=0).replace(0.0, 1.0)
        # value_counts puts the most frequent category first: the reference, which gets no column
        others = [c for c in obs if c not in self.numeric_]
        self.categories_ = [(c, k) for c in others for k in obs[c].astype(object).value_counts().index[1:]]
        return self._inputs(train)

    def _inputs(self, cohort: AnnData) -> np.ndarray:
        obs = self._clinical(cohort)
        numbers = (obs[self.numeric_].astype(float).fillna(self.median_) - self.mean_) / self.sd_
        return np.column_stack([numbers, *(obs[c].isin([k]) for c, k in self.categories_)]).astype(float)

    def _clinical(self, cohort: AnnData) -> pd.DataFrame:
        absent = [c for c in self.covariates if c not in cohort.obs]
        if absent:
            message = f"the clinical table lacks the covariates {absent}; it has {list(cohort.obs)}"
            raise KeyError(message)
        return cohort.obs[self.covariates]

    def _fit_task(self, task: Survival, x: np.ndarray, labels: pd.DataFrame) -> CoxPHFitter:
        table = self._table(x, labels.index).join(labels)
        with warnings.catch_warnings():
            # a category without events is no harm under the ridge penalty
            warnings.filterwarnings("ignore", "(?s).*very low variance", ConvergenceWarning)
            return CoxPHFitter(penalizer=self.penalty).fit(table, duration_col="time", event_col="event")

    def _predict_task(self, task: Survival, model: CoxPHFitter, x: np.ndarray, samples: pd.Index) -> SurvivalPrediction:
        table = self._table(x, samples)
        curves = model.predict_survival_function(table)
        risk = model.predict_log_partial_hazard(table)
        return _survival_prediction(task, risk.to_numpy(), curves.index.to_numpy(), curves.to_numpy().T, samples)

    def _table(self, x: np.ndarray, samples: pd.Index) -> pd.DataFrame:
        columns = [*self.numeric_, *(f"{c} = {k}" for c, k in self.categories_)]
        return pd.DataFrame(x, columns=columns, index=samples)


def _folds(strata: pd.Series, *, seed: int, n: int = 5) -> np.ndarray:
    """(N,) fold numbers: every stratum is dealt out in turn, so a rare class needs no warning."""
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    order = shuffled[np.argsort(strata.to_numpy()[shuffled], kind="stable")]
    fold = np.empty(len(strata), dtype=int)
    fold[order] = np.arange(len(strata)) % n
    return fold


def _survival_prediction(
    task: Survival, risk: np.ndarray, times: np.ndarray, curves: np.ndarray, samples: pd.Index
) -> SurvivalPrediction:
    """Risk (N,) and curves (N, K) as pandas objects, the curves opened with probability 1 at time 0."""
    later = times > 0
    curves = np.vstack([np.ones(len(samples)), curves.T[later]])
    survival = pd.DataFrame(curves, index=pd.Index(np.append(0.0, times[later]), name="time"), columns=samples)
    return SurvivalPrediction(task, pd.Series(risk, index=samples, name=task.name), survival)


def _outcome(labels: pd.DataFrame, model: _Peer) -> np.ndarray:
    """Labels as the structured array (event, time) of scikit-survival."""
    surv = _scikit_survival("util", model).Surv
    return surv.from_arrays(labels["event"] == 1, labels["time"])


def _scikit_survival(module: str, model: _Peer) -> ModuleType:
    try:
        return import_module(f"sksurv.{module}")
    except ImportError as error:
        message = f"{type(model).__name__} needs scikit-survival: pip install 'gexcore[peers]'"
        raise ImportError(message) from error
