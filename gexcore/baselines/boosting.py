"""Gradient-boosted trees for every kind of task: what a model of interactions reaches without a network.

Trees, their number and what they are fitted to are alike for all kinds; only the loss they descend differs.
Shapes: N samples, G genes, T trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from ..tasks import ClassPrediction, Prediction, Task, ValuePrediction
from .classical import _folds, _outcome, _Peer, _scikit_survival, _survival_prediction
from .ridge_cox import RiskSets, check_events


class GradientBoosting(_Peer):
    """Stochastic gradient boosting on scaled expression; survival needs scikit-survival (extra ``peers``).

    Parameters
    ----------
    tasks : task or sequence of tasks
        What to predict: any of :class:`Survival`, :class:`Classification` and :class:`Regression`.
    n_trees : int
        Most trees that are grown, for each class as many; how many are kept is chosen.
    learning_rate : float
        Share of each tree that is added.
    max_depth, min_samples_leaf : int
        Size of a tree and of its leaves.
    subsample : float
        Share of the samples that a tree is grown on.
    clip : float or None
        Largest absolute z-score of a gene.
    seed : int
        Draws the folds of the inner cross-validation, the samples of each tree and the genes tried at each split.

    Attributes
    ----------
    models_ : dict of str to estimator
        By task: the boosted trees, ``n_estimators`` of them.

    Notes
    -----
    Trees descend the negative log partial likelihood of Cox, the negative log-likelihood of the class or the squared
    error (Friedman 2001, 2002), and as many are kept as lose least by that measure in five folds, stratified by event
    or label. A split tries the square root of the number of genes. Survival curves use the Breslow estimate of the
    baseline. Splits are exact: histograms, as of scikit-learn's ``HistGradientBoosting``, save time from some ten
    thousand samples on.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Regression("age")
    >>> train, _, test = gx.split(cohort, task, seed=0)
    >>> GradientBoosting(task, n_trees=50).fit(train).predict(test)["age"].values.shape
    (80,)
    """

    kinds = ("survival", "classification", "regression")

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        *,
        n_trees: int = 200,
        learning_rate: float = 0.05,
        max_depth: int = 3,
        min_samples_leaf: int = 10,
        subsample: float = 0.5,
        clip: float | None = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(tasks, clip=clip, seed=seed)
        self.n_trees, self.learning_rate, self.subsample = n_trees, learning_rate, subsample
        self.max_depth, self.min_samples_leaf = max_depth, min_samples_leaf

    def _fit_task(self, task: Task, x: np.ndarray, labels: pd.Series | pd.DataFrame) -> Any:
        if task.kind == "survival":
            booster = _scikit_survival("ensemble", self).GradientBoostingSurvivalAnalysis
            check_events(task, labels)
            y, fold = _outcome(labels, self), _folds(labels["event"], seed=self.seed)
        else:
            booster = GradientBoostingClassifier if task.kind == "classification" else GradientBoostingRegressor
            y, fold = labels.to_numpy(), _folds(labels, seed=self.seed)
        if task.kind == "classification":
            # held out, a class of one sample would be missing from what is learned
            fold[labels.map(labels.value_counts()).to_numpy() == 1] = -1
        grow = partial(
            booster,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            min_samples_leaf=self.min_samples_leaf,
            subsample=self.subsample,
            max_features="sqrt",
            random_state=self.seed,
        )
        loss = np.zeros(self.n_trees)
        for k in np.unique(fold[fold >= 0]):
            # The settings are the same in all folds, and to check them for every tree takes a third of the time.
            with config_context(skip_parameter_validation=bool(k > 0)):
                trees = grow(n_estimators=self.n_trees).fit(x[fold != k], y[fold != k])
            loss += _loss_after_each_tree(task, trees, x[fold == k], y[fold == k])
        with config_context(skip_parameter_validation=True):
            return grow(n_estimators=int(np.argmin(loss)) + 1).fit(x, y)

    def _predict_task(self, task: Task, model: Any, x: np.ndarray, samples: pd.Index) -> Prediction:
        if task.kind == "classification":
            return ClassPrediction(task, pd.DataFrame(model.predict_proba(x), index=samples, columns=model.classes_))
        values = model.predict(x)
        if task.kind == "regression":
            return ValuePrediction(task, pd.Series(values, index=samples, name=task.name))
        curves = model.predict_survival_function(x, return_array=True)
        return _survival_prediction(task, values, model.unique_times_, curves, samples)


def _loss_after_each_tree(task: Task, model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(T,): what the first tree, the first two and so on lose on samples x (N, G) that none of them has seen."""
    if task.kind == "classification":
        truth = np.searchsorted(model.classes_, y)
        likelihood = np.stack([p[np.arange(len(y)), truth] for p in model.staged_predict_proba(x)])  # (T, N)
        return -np.log(np.maximum(likelihood, np.finfo(float).eps)).sum(axis=1)
    stages = np.column_stack(list(model.staged_predict(x)))  # (N, T)
    if task.kind == "regression":
        return ((stages - y[:, None]) ** 2).sum(axis=0)
    order = np.argsort(-y["time"], kind="stable")
    return -RiskSets(y["time"][order], y["event"][order]).log_likelihood(stages[order])
