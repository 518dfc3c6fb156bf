"""What every neural model shares: its settings, its task heads, and the estimator that fits it to a cohort.

A model adds a network with one representation that all heads read, and says how to build it.
Shapes: N samples, B samples of a batch, G genes, P width of the representation.
"""

from __future__ import annotations

import copy
import math
import operator
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor, nn

from .checkpoint import read_checkpoint, write_checkpoint
from .cohort import as_cohort
from .cohort.backed import drawn, in_parts, load_rows
from .cohort.checks import refuse_overlap, refuse_unfitted
from .cohort.tally import rows_together
from .genes import align_genes
from .heads import Head, decode, losses_against_null
from .multitask import STRATEGIES, choose_strategy
from .parallel import OneProcess, choose_processes
from .rows import Rows
from .scaling import Scaler
from .tasks import CohortWarning, Prediction, Target, Task, check_tasks, target_from_dict, target_to_dict
from .training import TrainingSettings, batches, choose_device, choose_settings, seeded
from .training import train as run_training

Tensors = tuple[Tensor, ...]  # what a network reads of some samples, and their labels


@dataclass(frozen=True, kw_only=True)
class NeuralSettings(TrainingSettings):
    """Settings of every multitask network; the defaults are those of TxT's paper and published code."""

    hidden: tuple[int, ...] = (128, 64)  # of each task head
    head_dropout: float = 0.1  # in the heads and on what they read
    scaling: str = "minmax"  # of every gene, by its training samples; or "zscore"
    scaling_clip: float | None = None  # zscore: values beyond this many standard deviations are cut
    n_intervals: int = 64  # of the survival grid, the last one without end
    grid: str = "uniform"  # intervals of equal length; or "quantile": equal shares of the training events
    multitask: str = "pcgrad"  # how task gradients become one step; one of multitask.STRATEGIES
    survival_rank: int | None = None  # 1: one risk per patient moves all intervals; None: each interval by itself
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **TrainingSettings.ranges,
        "head_dropout": (Real, 0, 1),
        "n_intervals": (Integral, 2, math.inf),
        "survival_rank": (Integral, 1, math.inf),
    }
    choices: ClassVar[dict[str, tuple]] = {
        **TrainingSettings.choices,
        "scaling": ("minmax", "zscore"),
        "grid": ("uniform", "quantile"),
        "multitask": STRATEGIES,
    }


SHORT_TRAINING: dict[str, Any] = {  # what the quick presets share: minutes on a CPU, and restraint for few patients
    "scaling": "zscore",
    "scaling_clip": 5.0,
    "n_intervals": 16,
    "grid": "quantile",
    "multitask": "equal",
    "survival_rank": 1,
    "learning_rate": 2e-3,
    "weight_decay": 1.0,
    "batch_size": 32,
    "max_epochs": 40,
    "patience": 15,
    "schedule": "cosine",
    "averaging": 0.99,
}


# ---------------------------------------------------------------------------------------------- network


def task_heads(width: int, targets: Sequence[Target], settings: NeuralSettings) -> nn.ModuleList:
    """One head per target on a representation of the given width."""
    s, ranks = settings, {"survival": settings.survival_rank}
    return nn.ModuleList(
        Head(width, t.n_outputs, hidden=s.hidden, dropout=s.head_dropout, rank=ranks.get(t.task.kind)) for t in targets
    )


class MultitaskModule(nn.Module, ABC):
    """A network whose tasks meet in one representation; a subclass sets ``heads`` and says what they read."""

    heads: nn.ModuleList

    @abstractmethod
    def embed(self, inputs: Tensor) -> Tensor:
        """What every head reads, (B, P)."""

    def shared_parameters(self) -> list[nn.Parameter]:
        """All that lies below the heads."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("heads.")]

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """The raw scores of every task, each (B, n_outputs)."""
        embedded = self.embed(inputs)  # (B, P)
        return [head(embedded) for head in self.heads]


# -------------------------------------------------------------------------------------------- estimator


class NeuralEstimator:
    """Predict survival, classes and numbers together from expression, with one network.

    A subclass names the network (``module_class``) or builds it (:meth:`build_module`). Where it differs from the rest
    it also has settings of its own (``settings_class``, ``presets``), its own genes, inputs and labels
    (:meth:`choose_genes`, :meth:`fit_inputs`, :meth:`inputs`, :meth:`fit_labels`, :meth:`tensors`), a training of its
    own (:meth:`train_module`), and more to save (:meth:`input_state`, :meth:`extra_config`, :meth:`from_config`).

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    preset : str
        One of ``presets``.
    seed : int
        Initial weights, dropout and the order of samples. The same seed, versions and threads give the same bits.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ...
    **settings
        Any field of ``settings_class``, over the preset's value.

    Attributes
    ----------
    history_ : pandas.DataFrame
        epoch, split ("train", "val"), task, loss in units of the null prediction's (:func:`gexcore.heads.null_scores`).
    genes_ : list of str
        Genes read of the training cohort, which every later cohort is aligned to by name.
    settings, scaler_, targets_, module_
        All settings, what the training samples said of expression and of labels, and the trained network.

    Examples
    --------
    >>> class LinearModule(MultitaskModule):
    ...     def __init__(self, n_genes, targets, settings):
    ...         super().__init__()
    ...         self.encoder = nn.Linear(n_genes, 16)
    ...         self.heads = task_heads(16, targets, settings)
    ...
    ...     def embed(self, inputs):
    ...         return self.encoder(inputs)
    >>> class LinearEncoder(NeuralEstimator):
    ...     module_class = LinearModule
    >>> import gexcore as gx
    >>> cohort, tasks = gx.load_cohort("demo"), [gx.Classification("subtype"), gx.Regression("age")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> LinearEncoder(tasks, max_epochs=2).fit(train, val).embed(test).shape
    (80, 16)
    """

    module_class: ClassVar[Callable[..., MultitaskModule]]
    settings_class: ClassVar[type[NeuralSettings]] = NeuralSettings
    presets: ClassVar[Mapping[str, Mapping]] = {"paper": {}}
    in_phases: ClassVar[bool] = False  # several trainings in a row, which one device carries out

    def __init__(
        self, tasks: Task | Sequence[Task], *, preset: str = "paper", seed: int = 0, device: str = "auto", **settings
    ):
        self.tasks = check_tasks(tasks)
        self.settings = choose_settings(self.settings_class, self.presets, preset, settings)
        self.seed, self.device = operator.index(seed), device

    # ------------------------------------------------------------------------------ what a subclass says

    def build_module(self, genes: Sequence[str], targets: Sequence[Target]) -> MultitaskModule:
        """The network before training; a file's weights replace its own when a model is loaded."""
        return self.module_class(len(genes), targets, self.settings)

    def choose_genes(self, genes: Sequence[str]) -> list[str]:
        """Those of a training cohort's genes that are read, in the order of the inputs."""
        return list(genes)

    def fit_inputs(self, expression: np.ndarray) -> None:
        """Learn from training expression (N, G), NaN where missing, how it becomes inputs; ``genes_`` are known.

        ``scaler_`` has to be able to ``harmonise`` and ``check_range``, whatever else is learned.
        """
        self.scaler_ = Scaler.fit(expression, method=self.settings.scaling, clip=self.settings.scaling_clip)

    def inputs(self, expression: np.ndarray) -> Tensor:
        """What the network reads of any expression (N, G) of ``genes_``; first axis: samples."""
        return torch.from_numpy(self.scaler_.transform(expression))

    def fit_labels(self, train: AnnData) -> None:
        """Learn from the clinical table of the training samples what is predicted of them (``targets_``)."""
        grid = {"n_intervals": self.settings.n_intervals, "grid": self.settings.grid}
        self.targets_ = [t.fit(train.obs, **grid if t.kind == "survival" else {}) for t in self.tasks]

    def tensors(self, cohort: AnnData) -> Tensors:
        """Inputs of the samples of a cohort, and the labels of each task last."""
        labels = [torch.from_numpy(target.encode(cohort.obs)) for target in self.targets_]
        return self.inputs(align_genes(cohort, self.genes_)), *labels

    def input_state(self) -> dict[str, np.ndarray]:
        """Arrays that :meth:`inputs` needs, for the model file."""
        return self.scaler_.state()

    def extra_config(self) -> dict[str, Any]:
        """JSON values that the network is built from beside settings, genes and targets, for the model file."""
        return {}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], state: Mapping[str, np.ndarray], tasks: Sequence[Task], **settings
    ) -> Self:
        """An estimator with the inputs of a saved one, that builds its network.

        ``config`` is all that the file says, ``extra_config()`` included; ``state`` the arrays of ``input_state()``.
        """
        model = cls(tasks, **settings)
        model.scaler_ = Scaler.from_state(state, method=model.settings.scaling, clip=model.settings.scaling_clip)
        return model

    # ------------------------------------------------------------------------------------------ fitting

    def fit(
        self,
        train: AnnData,
        val: AnnData | None = None,
        *,
        checkpoint: str | PathLike | None = None,
        devices: int = 1,
        num_nodes: int = 1,
        strategy: str = "ddp",
    ) -> Self:
        """Train on one cohort, stopping early on another.

        Everything that is fitted (scaling, classes, time grids) comes from ``train``; ``val`` only chooses the epoch.

        Parameters
        ----------
        train, val : AnnData, DataFrame or path
            Anything :func:`gexcore.read_cohort` reads. Without ``val`` all ``max_epochs`` are trained.
        checkpoint : path, optional
            Written after every epoch; the same call later goes on where it was broken off, to the same bits.
        devices, num_nodes : int
            Devices of each machine, and machines: GPUs, or processes on a CPU. Their processes share the rows of every
            batch (``batch_size`` in all) and take one step together, which is that of one device but for rounding and
            for what dropout draws. The first one starts the script anew for every other, unless torchrun or srun has.
        strategy : {"ddp"}
            Every process holds the whole network (distributed data parallel).
        """
        device = choose_device(self.device)
        processes = choose_processes(device, devices=devices, num_nodes=num_nodes, strategy=strategy)
        if self.in_phases and processes.n > 1:
            message = f"{type(self).__name__} trains in phases, for one device: leave out devices and num_nodes"
            raise ValueError(message)
        train, val = as_cohort(train), None if val is None else as_cohort(val, backed=True)
        refuse_overlap(train, val)
        model = copy.copy(self)  # a fit that breaks off leaves this one as it was
        model.genes_ = model.choose_genes(train.var_names)
        model.fit_inputs(align_genes(train, model.genes_))
        model.fit_labels(train)
        data, validation = model.tensors(train), None if val is None else model.tensors(val)
        if validation and all(label[:, 0].isnan().all() for label in validation[-len(self.tasks) :]):
            message = f"none of the {val.n_obs} validation samples has a label, so nothing can say when to stop"
            raise ValueError(message)
        processes.launch()
        with seeded(self.seed, processes.device):
            model.module_ = model.build_module(model.genes_, model.targets_)
            model.history_ = model.train_module(data, validation, processes=processes, checkpoint=checkpoint)
        vars(self).update(vars(model))
        return self

    def train_module(
        self, data: Tensors, validation: Tensors | None, *, processes: OneProcess, checkpoint: str | PathLike | None
    ) -> pd.DataFrame:
        """Train ``module_`` in place, on ``processes.device``, on inputs and the labels of each task; the history."""
        s, module = self.settings, self.module_
        shared = [p for p in module.shared_parameters() if p.requires_grad]
        combined = s.multitask if shared else "equal"  # heads are never in conflict with each other
        strategy = choose_strategy(combined, [t.name for t in self.tasks], shared, total=processes.total)
        spread = {"meet": strategy.meet, "share": processes.share}
        losses = losses_against_null(module.heads, self.targets_, data[1:], **spread)
        how = {"device": processes.device, "processes": processes, "generator": np.random.default_rng(self.seed)}
        how |= {"label": type(self).__name__, "strategy": strategy, "checkpoint": checkpoint}
        return run_training(module.to(processes.device), losses, data, validation, s, **how)

    # --------------------------------------------------------------------------------------- predicting

    def predict(
        self, cohort: AnnData, *, harmonise: str | None = None, min_coverage: float = 0.5
    ) -> dict[str, Prediction]:
        """Predict every task for every sample; labels in ``cohort`` are not read.

        Genes are matched by name, in any order; extra ones are unused, absent ones count as missing (with a warning).

        Parameters
        ----------
        cohort : AnnData, DataFrame or path
            Anything :func:`gexcore.read_cohort` reads.
        harmonise : {"quantile", "zscore"}, optional
            Bring a cohort of another platform, unit or scale to that of the training cohort first, as
            :func:`gexcore.harmonise` does; the prediction of a sample then depends on the others it comes with.
        min_coverage : float
            A cohort that has a smaller share of the model's genes is refused.

        Returns
        -------
        dict
            Task name to :class:`SurvivalPrediction`, :class:`ClassPrediction` or :class:`ValuePrediction`.
        """
        cohort = as_cohort(cohort, backed=True)
        scores = self._batched(self.fitted_module().forward, self._parts(cohort, harmonise, min_coverage))
        return {t.task.name: decode(t, s, cohort.obs_names) for t, s in zip(self.targets_, scores, strict=True)}

    def embed(self, cohort: AnnData, *, harmonise: str | None = None, min_coverage: float = 0.5) -> pd.DataFrame:
        """What all heads read, a DataFrame samples x P; arguments as in :meth:`predict`."""
        cohort, embed = as_cohort(cohort, backed=True), self.fitted_module().embed
        (embedded,) = self._batched(lambda batch: [embed(batch)], self._parts(cohort, harmonise, min_coverage))
        return pd.DataFrame(embedded.numpy(), index=cohort.obs_names)

    def fitted_module(self) -> MultitaskModule:
        """The trained network; refused before :meth:`fit`."""
        refuse_unfitted(self, "module_")
        return self.module_

    def read(self, cohort: AnnData, *, harmonise: str | None = None, min_coverage: float = 0.5) -> Tensor:
        """What the fitted network is given of a cohort, samples first; arguments as in :meth:`predict`."""
        self.fitted_module()
        expression = align_genes(as_cohort(cohort, backed=True), self.genes_, min_coverage=min_coverage)
        if harmonise is not None:
            expression = self.scaler_.harmonise(expression, harmonise)
        self.scaler_.check_range(expression)
        return self.inputs(expression)

    def _parts(self, cohort: AnnData, harmonise: str | None, min_coverage: float) -> Iterator[Tensor]:
        """Inputs of a cohort; of a large one part by part, its genes and scale judged by samples of all parts."""
        size = rows_together(len(self.genes_))
        if cohort.n_obs <= size or harmonise is not None:  # which looks at all samples
            yield self.read(cohort, harmonise=harmonise, min_coverage=min_coverage)
            return
        self.read(load_rows(cohort, drawn(cohort.n_obs, size, self.seed)), min_coverage=min_coverage)
        for part in in_parts(cohort, size, genes=self.genes_):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CohortWarning)  # said of the samples drawn
                expression = align_genes(part, self.genes_, min_coverage=min_coverage)
            yield self.inputs(expression)

    def _batched(self, function: Callable, parts: Iterable[Tensor]) -> list[Tensor]:
        """Each result of ``function``, (B, columns), for all samples of the parts, computed batch by batch."""
        device = choose_device(self.device)
        self.module_.to(device).eval()  # not in inference mode: weights moved there could not be differentiated again
        results: list[Rows] = []
        with torch.inference_mode():
            for inputs in parts:
                for s in batches(len(inputs), self.settings.batch_size):
                    batch = function(inputs[s].to(device))
                    results = results or [Rows() for _ in batch]
                    for rows, result in zip(results, batch, strict=True):
                        rows.add(result.float())
        return [torch.from_numpy(rows.result()) for rows in results]

    # ------------------------------------------------------------------------------------------- saving

    def save(self, path: str | PathLike) -> None:
        """Write everything prediction needs to one safetensors file, replacing it in a single step."""
        tensors = {f"module.{name}": t for name, t in self.fitted_module().state_dict().items()}
        tensors |= {f"scaler.{name}": torch.from_numpy(a) for name, a in self.input_state().items()}
        config = {
            "settings": asdict(self.settings),
            "seed": self.seed,
            **self.extra_config(),
            "targets": [target_to_dict(t) for t in self.targets_],
            "genes": self.genes_,
            "history": self.history_.to_dict("list"),
        }
        write_checkpoint(path, type(self).__name__, tensors, config)

    @classmethod
    def load(cls, path: str | PathLike, *, device: str = "auto") -> Self:
        """Read a model written by :meth:`save`; it predicts what the saved one did."""
        tensors, config = read_checkpoint(path, cls.__name__)
        weights = {name.removeprefix("module."): t for name, t in tensors.items() if name.startswith("module.")}
        state = {name.removeprefix("scaler."): t.numpy() for name, t in tensors.items() if name.startswith("scaler.")}
        targets = [target_from_dict(t) for t in config["targets"]]
        saved = {name: tuple(v) if isinstance(v, list) else v for name, v in config["settings"].items()}
        model = cls.from_config(config, state, [t.task for t in targets], seed=config["seed"], device=device, **saved)
        model.genes_, model.targets_, model.history_ = config["genes"], targets, pd.DataFrame(config["history"])
        model.module_ = model.build_module(model.genes_, targets).eval()
        model.module_.load_state_dict(weights)
        return model

    def __repr__(self) -> str:
        tasks = ", ".join(t.name for t in self.tasks)
        fitted = f"fitted on {len(self.genes_)} genes" if hasattr(self, "genes_") else "not fitted"
        return f"{type(self).__name__}({tasks}; {fitted})"
