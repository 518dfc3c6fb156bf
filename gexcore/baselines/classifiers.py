"""Peers of the linear model: a forest, a linear support vector machine, and the null model, which reads no gene.

Like those of :mod:`gexcore.baselines.classical` they learn one task at a time from scaled expression, and run on one
core. All take classes and numbers, the machine survival too.
Shapes: N samples, G genes, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from ..tasks import ClassPrediction, Prediction, SurvivalPrediction, Task, ValuePrediction
from .classical import _folds, _outcome, _Peer, _scikit_survival
from .ridge_cox import MIN_EVENTS

_PENALTIES = np.logspace(-4, 0, 5)  # scikit-learn's C: the first is the strongest
_RANKING_PENALTIES = np.logspace(-6, 0, 7)  # scikit-survival's alpha times the number of events


class RandomForest(_Peer):
    """Random forest on scaled expression, for classes and for numbers.

    Parameters
    ----------
    tasks : Classification, Regression or a sequence of them
        What to predict.
    n_trees, min_samples_leaf : int
        Size of the forest and of its leaves.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the bootstrap samples and the genes tried at each split.

    Notes
    -----
    A split tries the square root of the number of genes for a class and a third of them for a number. Class
    probabilities are means over the trees.
    """

    kinds = ("classification", "regression")

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        *,
        n_trees: int = 300,
        min_samples_leaf: int = 1,
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(tasks, clip=clip, seed=seed)
        self.n_trees, self.min_samples_leaf = n_trees, min_samples_leaf

    def _fit_task(self, task: Task, x: np.ndarray, labels: pd.Series) -> RandomForestClassifier | RandomForestRegressor:
        forest, tried = (
            (RandomForestClassifier, "sqrt") if task.kind == "classification" else (RandomForestRegressor, 1 / 3)
        )
        return forest(
            n_estimators=self.n_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=tried,
            random_state=self.seed,
        ).fit(x, labels)

    def _predict_task(
        self, task: Task, model: RandomForestClassifier | RandomForestRegressor, x: np.ndarray, samples: pd.Index
    ) -> Prediction:
        if task.kind == "regression":
            return ValuePrediction(task, pd.Series(model.predict(x), index=samples, name=task.name))
        return ClassPrediction(task, pd.DataFrame(model.predict_proba(x), index=samples, columns=model.classes_))


class LinearSVM(_Peer):
    """Linear support vector machine on scaled expression: every class against the rest, a number, or who goes first.

    Survival needs scikit-survival (extra ``peers``).

    Parameters
    ----------
    tasks : task or sequence of tasks
        What to predict: any of :class:`Survival`, :class:`Classification` and :class:`Regression`.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the folds of the inner cross-validation.

    Notes
    -----
    A support vector machine has decision values and no probabilities. They become probabilities by a softmax of the
    decision values times one number (temperature scaling, Guo et al. 2017), that of best log-likelihood on five inner
    folds stratified by class. The order of the classes of a sample, and so the predicted class, is the machine's own.
    The penalty is the one of five with the best such log-likelihood; for numbers, which are standardised first, the
    one of least absolute error in five folds.

    Survival is learned from the pairs of which it is known who had the event first (Van Belle et al. 2007; Pölsterl et
    al. 2015), with the one of seven penalties whose out-of-fold risks are the most concordant, five folds stratified by
    event. A ranking gives no survival curve: ``survival`` is None, and scores that need one are NaN.
    """

    kinds = ("survival", "classification", "regression")

    def _fit_task(self, task: Task, x: np.ndarray, labels: pd.Series | pd.DataFrame) -> Any:
        if task.kind == "survival":
            return self._fit_survival(task, x, labels)
        return self._fit_numbers(x, labels) if task.kind == "regression" else self._fit_classes(x, labels)

    def _fit_classes(self, x: np.ndarray, labels: pd.Series) -> tuple[LinearSVC, float]:
        fold = _folds(labels, seed=self.seed)
        classes, truth, count = np.unique(labels, return_inverse=True, return_counts=True)
        fold[count[truth] == 1] = -1  # held out, a class of one sample would be missing from what is learned
        held = fold >= 0
        margins = np.empty((len(x), len(classes)))  # (N, C)
        trials = []
        for penalty in _PENALTIES:
            for k in np.unique(fold[held]):
                machine = _machine(penalty).fit(x[fold != k], truth[fold != k])
                margins[fold == k] = _margins(machine, x[fold == k])
            trials.append((*_best_sharpness(margins[held], truth[held]), penalty))
        _, sharpness, penalty = min(trials)
        return _machine(penalty).fit(x, labels), sharpness

    def _fit_numbers(self, x: np.ndarray, labels: pd.Series) -> TransformedTargetRegressor:
        loss = {"loss": "squared_epsilon_insensitive", "epsilon": 0.1}
        machine = LinearSVR(**loss, dual="auto", max_iter=10_000, random_state=0)  # as for _machine
        search = GridSearchCV(
            TransformedTargetRegressor(machine, transformer=StandardScaler()),
            {"regressor__C": _PENALTIES},
            cv=PredefinedSplit(_folds(labels, seed=self.seed)),
            scoring="neg_mean_absolute_error",
        )
        return search.fit(x, labels).best_estimator_

    def _fit_survival(self, task: Task, x: np.ndarray, labels: pd.DataFrame) -> Any:
        ranker = partial(_scikit_survival("svm", self).FastSurvivalSVM, max_iter=100, random_state=self.seed)
        concordance = _scikit_survival("metrics", self).concordance_index_censored
        if (n := int(labels["event"].sum())) < MIN_EVENTS:
            message = (
                f"task {task.name!r} has {n} events among its {len(labels)} labelled training samples; LinearSVM needs "
                f"{MIN_EVENTS} or more, one for each fold that chooses the penalty"
            )
            raise ValueError(message)
        # only the order of times is used, and scikit-survival refuses a time of 0
        y = _outcome(labels.assign(time=labels["time"].rank(method="dense")), self)
        fold, risk, trials = _folds(labels["event"], seed=self.seed), np.empty(len(y)), []
        for penalty in _RANKING_PENALTIES:
            for k in np.unique(fold):
                rest = y[fold != k]
                machine = ranker(alpha=penalty / rest["event"].sum()).fit(x[fold != k], rest)
                risk[fold == k] = machine.predict(x[fold == k])
            trials.append((-concordance(y["event"], y["time"], risk)[0], penalty))
        _, penalty = min(trials)
        return ranker(alpha=penalty / n).fit(x, y)

    def _predict_task(self, task: Task, model: Any, x: np.ndarray, samples: pd.Index) -> Prediction:
        if task.kind == "classification":
            machine, sharpness = model
            probabilities = softmax(sharpness * _margins(machine, x), axis=1)
            return ClassPrediction(task, pd.DataFrame(probabilities, index=samples, columns=machine.classes_))
        values = pd.Series(model.predict(x), index=samples, name=task.name)
        return SurvivalPrediction(task, values) if task.kind == "survival" else ValuePrediction(task, values)


class Majority(_Peer):
    """The null model: class frequencies of the training samples, or their mean, for everybody.

    Parameters
    ----------
    tasks : Classification, Regression or a sequence of them
        What to predict.
    seed : int
        Accepted so that every model is made alike; nothing here is random.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Classification("grade")
    >>> Majority(task).fit(cohort).predict(cohort[:1])["grade"].probabilities.round(2).to_dict("records")
    [{'1': 0.2, '2': 0.45, '3': 0.35}]
    """

    kinds = ("classification", "regression")

    def __init__(self, tasks: Task | Sequence[Task], *, seed: int = 0) -> None:
        super().__init__(tasks, seed=seed)

    def _learn_inputs(self, train: AnnData) -> np.ndarray:
        return self._inputs(train)

    def _inputs(self, cohort: AnnData) -> np.ndarray:
        return np.empty((cohort.n_obs, 0))

    def _fit_task(self, task: Task, x: np.ndarray, labels: pd.Series) -> pd.Series | float:
        return labels.mean() if task.kind == "regression" else labels.value_counts(normalize=True).sort_index()

    def _predict_task(self, task: Task, model: pd.Series | float, x: np.ndarray, samples: pd.Index) -> Prediction:
        if task.kind == "regression":
            return ValuePrediction(task, pd.Series(model, index=samples, name=task.name))
        frequencies = np.tile(model.to_numpy(), (len(samples), 1))
        return ClassPrediction(task, pd.DataFrame(frequencies, index=samples, columns=list(model.index)))


def _machine(penalty: float) -> LinearSVC:
    # "auto" solves the dual problem where genes outnumber samples; its order of samples is drawn, hence the seed
    return LinearSVC(C=penalty, dual="auto", max_iter=10_000, random_state=0)


def _margins(machine: LinearSVC, x: np.ndarray) -> np.ndarray:
    """Decision values (N, C) of x (N, G); of two classes, those of the second with either sign."""
    margins = machine.decision_function(x)
    return np.column_stack([-margins, margins]) if margins.ndim == 1 else margins


def _best_sharpness(margins: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean negative log-likelihood, and the factor of the margins (N, C) with which the softmax reaches it."""
    rows = np.arange(len(truth))

    def loss(log_factor: float) -> float:
        return -log_softmax(np.exp(log_factor) * margins, axis=1)[rows, truth].mean()

    # the bounds end the search where the classes lie wholly apart and no factor is large enough
    found = minimize_scalar(loss, bounds=(-5, 5), method="bounded")
    return found.fun, float(np.exp(found.x))
