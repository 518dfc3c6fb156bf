"""All methods of the two papers by name: how each is made, which tasks it takes, what it needs, what it chooses from.

Settings that are chosen at all are chosen on validation samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Self

import pandas as pd
from anndata import AnnData

from . import baselines
from .cohort.checks import refuse_unfitted
from .comparison import headlines
from .estimator import NeuralEstimator
from .metrics import HEADLINES, as_losses, evaluate
from .tasks import Prediction, Task, first_ids
from .txt import TxT


@dataclass(frozen=True, kw_only=True)
class Context:
    """What methods may know of a study beside its tasks. It holds no sample, so none can be looked at too early."""

    gene_sets: Mapping[str, Sequence[str]] | None = None  # pathways, for the networks that are built of them
    covariates: tuple[str, ...] = ()  # clinical columns, for the models that read them
    preset: str = "quick"  # of every network; "paper" as published
    max_epochs: int | None = None  # of every network; None leaves it to the preset
    n_genes: int | None = None  # every method reads so many genes, those that vary most in training; None: all

    def __post_init__(self) -> None:
        counts = {"max_epochs": self.max_epochs, "n_genes": self.n_genes}
        if wrong := {name: count for name, count in counts.items() if count is not None and count < 1}:
            message = f"{' and '.join(wrong)} must be 1 or more, or None, not {first_ids(wrong.values())}"
            raise ValueError(message)
        if self.preset not in ("quick", "paper"):
            message = f"preset must be 'quick' or 'paper', not {self.preset!r}"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Method:
    """How an estimator is made, and what it can be asked for."""

    make: Callable[..., Any]  # make(tasks, seed, context, **settings): has fit(train, val) and predict(test)
    kinds: tuple[str, ...] = tuple(HEADLINES)  # of tasks it takes
    joint: bool = False  # one model of all its tasks; otherwise one for each
    needs: tuple[str, ...] = ()  # fields of the context it cannot do without
    mixed: bool = False  # needs survival and another task
    grid: Mapping[str, Sequence] = field(default_factory=dict)  # settings to choose from, as Tuned does


class Tuned:
    """The one of several settings whose predictions of the validation samples are best.

    Every setting is fitted to the training samples and scored on the validation samples, by the headline metric of each
    task (C-index, accuracy, mean absolute error). Units differ, so a setting is judged by its mean rank over tasks; of
    equal ones the first is kept, and a score that does not exist ranks last.

    Parameters
    ----------
    model : callable
        ``model(**setting)`` is an estimator with ``fit(train, val)`` and ``predict(test)``.
    grid : mapping of str to sequence
        Setting to its values; all combinations are tried.

    Attributes
    ----------
    settings_ : list of dict
        All that were tried.
    scores_ : pandas.DataFrame
        setting (position in ``settings_``), task, metric, value on the validation samples.
    setting_, best_
        The chosen one, and its estimator.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Regression("age")
    >>> train, val, test = gx.split(cohort, task, seed=0)
    >>> forest = Tuned(lambda **setting: gx.baselines.RandomForest(task, **setting), {"min_samples_leaf": (1, 50)})
    >>> forest.fit(train, val).setting_
    {'min_samples_leaf': 1}
    """

    def __init__(self, model: Callable[..., Any], grid: Mapping[str, Sequence]) -> None:
        self.model, self.grid = model, {name: tuple(values) for name, values in grid.items()}
        if empty := [name for name, values in self.grid.items() if not values]:
            message = f"a grid needs at least one value for each setting; {first_ids(empty)} has none"
            raise ValueError(message)

    def fit(self, train: AnnData, val: AnnData | None = None) -> Self:
        """Fit every setting to ``train`` and keep the best on ``val``."""
        if val is None:
            message = "Tuned chooses its setting on validation samples: call fit(train, val)"
            raise ValueError(message)
        settings = [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]
        models = [self.model(**setting).fit(train, val) for setting in settings]
        tables = [headlines(evaluate(model.predict(val), val, train=train)) for model in models]
        scores = pd.concat(tables, keys=range(len(models)), names=["setting", None]).reset_index("setting")
        scores = scores.reset_index(drop=True)
        rank = as_losses(scores).groupby(scores["task"]).rank(na_option="bottom").groupby(scores["setting"]).mean()
        self.settings_, self.scores_ = settings, scores
        self.setting_, self.best_ = settings[rank.idxmin()], models[rank.idxmin()]
        return self

    def predict(self, test: AnnData) -> dict[str, Prediction]:
        """What the chosen model predicts."""
        refuse_unfitted(self, "best_")
        return self.best_.predict(test)


def _method(model: type, *needs: str, joint: bool = False, mixed: bool = False, **fixed) -> Method:
    """A class of this package as a method: what it needs of the context, and settings that are fixed."""

    def make(tasks: Sequence[Task], seed: int, context: Context, **settings) -> Any:
        settings = fixed | {name: getattr(context, name) for name in needs} | settings
        if issubclass(model, NeuralEstimator):
            settings |= {"preset": context.preset}
            settings |= {} if context.max_epochs is None else {"max_epochs": context.max_epochs}
        return model(tasks, seed=seed, **settings)

    kinds = getattr(model, "kinds", tuple(HEADLINES))
    return Method(make=make, kinds=kinds, joint=joint, needs=needs, mixed=mixed)


def _forest(tasks: Sequence[Task], seed: int, context: Context, **settings) -> Any:
    forest = baselines.SurvivalForest if tasks[0].kind == "survival" else baselines.RandomForest
    return forest(tasks, seed=seed, **settings)


METHODS: dict[str, Method] = {
    "txt": _method(TxT),
    "txt-multitask": _method(TxT, joint=True),
    "omiembed": _method(baselines.OmiEmbed),
    "omiembed-multitask": _method(baselines.OmiEmbed, joint=True),
    "t-gem": _method(baselines.TGEM),
    "autosurv": _method(baselines.AUTOSurv, "gene_sets"),
    "autosurv-clinical": _method(baselines.AUTOSurv, "gene_sets", "covariates"),
    "survconvmixer": _method(baselines.SurvConvMixer, "gene_sets"),
    "fmap-cnn": _method(baselines.FeatureMapCNN),
    "deepgene": _method(baselines.DeepGene),
    "mlp": _method(baselines.MLP),
    "mlp-multitask": _method(baselines.MLP, joint=True),
    "svm": _method(baselines.LinearSVM),
    "random-forest": Method(make=_forest),
    "gradient-boosting": _method(baselines.GradientBoosting),
    "linear-model": _method(baselines.LinearModel),
    "elastic-net-cox": _method(baselines.ElasticNetCox),
    "ridge-cox": _method(baselines.RidgeCox),
    "pca-cox": _method(baselines.RidgeCox, n_components="tuned"),
    "clinical-cox": _method(baselines.ClinicalCox, "covariates"),
    "clinical-expression-cox": _method(baselines.ClinicalExpressionCox, "covariates"),
    "two-stage": _method(baselines.TwoStage, joint=True, mixed=True),
    "null-model": _method(baselines.Null),
}
_GRIDS: dict[str, dict[str, tuple]] = {  # assumed, but for the two that are parts of published grids
    "txt": {"gene_dropout": (0.0, 0.2), "weight_decay": (0.1, 1.0)},
    "txt-multitask": {"gene_dropout": (0.0, 0.2), "weight_decay": (0.1, 1.0)},
    "autosurv": {"dropout": (0.1, 0.3), "learning_rate": (0.0025, 0.0075, 0.025)},  # published
    "survconvmixer": {"filters": (16, 64), "kernel_size": (3, 5)},  # published
    "mlp": {"dropout": (0.2, 0.5), "weight_decay": (0.1, 1.0)},
    "mlp-multitask": {"dropout": (0.2, 0.5), "weight_decay": (0.1, 1.0)},
    "random-forest": {"min_samples_leaf": (1, 5, 15)},
    "gradient-boosting": {"max_depth": (1, 3), "min_samples_leaf": (5, 20)},
}
METHODS |= {f"{name}-tuned": replace(METHODS[name], grid=grid) for name, grid in _GRIDS.items()}
