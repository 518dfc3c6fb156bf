"""TxT, the Transcriptome Transformer (Koo et al. 2025): one encoder over genes, one head per task.

The network comes first, then the estimator that fits it to a cohort and predicts for another.
Shapes: B samples, G genes, E gene vector, P pooled width.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor, nn

from . import heads
from .attention import ExpressionEncoder
from .checkpoint import read_checkpoint, write_checkpoint
from .cohort import as_cohort
from .genes import align_genes
from .multitask import STRATEGIES, choose_strategy
from .network import vectors_for
from .scaling import Scaler
from .tasks import Prediction, Target, Task, check_tasks, first_ids, target_from_dict, target_to_dict
from .training import TrainingSettings, batches, choose_device, choose_settings, seeded
from .training import train as run_training


@dataclass(frozen=True, kw_only=True)
class TxTSettings(TrainingSettings):
    """Settings of TxT; the defaults are the paper's (main text and published code)."""

    n_layers: int = 8
    n_heads: int = 4
    d_model: int = 64  # width of attention, and of gene vectors unless gene_embedding brings its own
    d_ff: int = 256
    dropout: float = 0.1
    norm_first: bool = True  # layer norm before each sublayer; False: after it
    expression_term: bool = True  # expression in the attention scores, the paper's only path
    value_path: bool = False  # expression also in the tokens
    pooling: str = "flatten"  # or "mean", "attention", "score"
    hidden: tuple[int, ...] = (128, 64)  # of each task head
    head_dropout: float = 0.1  # on the pooled vector and in the heads
    gene_dropout: float = 0.0  # share of genes whose expression is set to 0 in each training step
    scaling: str = "minmax"  # or "zscore"
    scaling_clip: float | None = None  # zscore: values beyond this many standard deviations are cut
    n_intervals: int = 64  # survival grid
    grid: str = "uniform"  # or "quantile": equal shares of the training events
    multitask: str = "pcgrad"  # how task gradients become one step, one of multitask.STRATEGIES
    survival_rank: int | None = None  # 1: one risk per patient moves all intervals; None: each interval by itself
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **TrainingSettings.ranges,
        **dict.fromkeys(("n_heads", "d_model", "d_ff", "survival_rank"), (Integral, 1, math.inf)),
        **dict.fromkeys(("dropout", "head_dropout", "gene_dropout"), (Real, 0, 1)),
        "n_layers": (Integral, 0, math.inf),
        "n_intervals": (Integral, 2, math.inf),
    }
    choices: ClassVar[dict[str, tuple]] = {
        **TrainingSettings.choices,
        "pooling": tuple(heads.POOLINGS),
        "scaling": ("minmax", "zscore"),
        "grid": ("uniform", "quantile"),
        "multitask": STRATEGIES,
        **dict.fromkeys(("norm_first", "expression_term", "value_path"), (True, False)),
    }


PRESETS: dict[str, dict] = {
    "paper": {},
    # Converges in minutes on two cores and holds its own against linear models on a few hundred patients: one layer,
    # expression in the tokens, one score per gene instead of G x E inputs to every head, and much dropout.
    "quick": {
        "n_layers": 1,
        "n_heads": 1,
        "d_model": 16,
        "d_ff": 64,
        "dropout": 0.0,  # attention without dropout takes the CPU's fused kernel
        "value_path": True,
        "pooling": "score",
        "hidden": (128,),
        "head_dropout": 0.5,
        "gene_dropout": 0.2,
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
    },
}


class TxTModule(nn.Module):
    """The network of TxT: scaled expression (B, G) to the raw scores of every task, each (B, n_outputs)."""

    def __init__(self, n_genes: int, targets: Sequence[Target], d_embed: int, settings: TxTSettings):
        super().__init__()
        s = settings
        self.encoder = ExpressionEncoder(
            n_genes,
            n_layers=s.n_layers,
            n_heads=s.n_heads,
            d_model=s.d_model,
            d_embed=d_embed,
            d_ff=s.d_ff,
            dropout=s.dropout,
            norm_first=s.norm_first,
            expression_term=s.expression_term,
            value_path=s.value_path,
        )
        self.pool = heads.POOLINGS[s.pooling](n_genes, d_embed, s.head_dropout)
        self.gene_dropout = s.gene_dropout
        ranks = [s.survival_rank if target.task.kind == "survival" else None for target in targets]
        self.heads = nn.ModuleList(
            heads.Head(self.pool.width, target.n_outputs, hidden=s.hidden, dropout=s.head_dropout, rank=rank)
            for target, rank in zip(targets, ranks, strict=True)
        )
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and name != "encoder.genes":
                nn.init.xavier_uniform_(parameter)

    def embed(self, expression: Tensor) -> Tensor:
        """What every head reads, (B, P)."""
        if self.training and self.gene_dropout:
            expression = expression * (torch.rand_like(expression) >= self.gene_dropout)
        return self.pool(self.encoder(expression))

    def shared_parameters(self) -> list[nn.Parameter]:
        """All that lies below the heads."""
        return [*self.encoder.parameters(), *self.pool.parameters()]

    def forward(self, expression: Tensor) -> list[Tensor]:
        pooled = self.embed(expression)
        return [head(pooled) for head in self.heads]


class TxT:
    """Predict survival, classes and numbers together from bulk expression.

    Parameters
    ----------
    tasks : task or sequence of tasks
        Any number of :class:`Survival`, :class:`Classification` and :class:`Regression` tasks.
    gene_embedding : pandas.DataFrame, optional
        Starting gene vectors, genes x E, for example node2vec vectors of a protein network. Genes it lacks start from
        its mean vector, with a warning. Without it gene vectors start at random. They are trained either way.
    preset : {"paper", "quick"}
        ``"paper"``: the published network and settings. Unlike there, gene vectors start at random unless given, and
        heads at the null prediction; intervals are floored; task losses are standardised, PCGrad projects their
        gradients on the shared parameters only, and early stopping follows the mean of the standardised losses.
        ``"quick"``: a small model that converges in minutes on a CPU.
    seed : int
        Initial weights, dropout and the order of samples. The same seed, versions and threads give the same bits.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ...
    **settings
        Any field of :class:`TxTSettings`, over the preset's value.

    Attributes
    ----------
    settings : TxTSettings
    history_ : pandas.DataFrame
        epoch, split ("train", "val"), task, loss. Losses are in units of the null prediction's loss on the
        training samples (:func:`gexcore.heads.null_scores`).
    genes_ : list of str
        Genes of the training cohort, which every later cohort is aligned to by name.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo")
    >>> tasks = [gx.Survival("os", time="os_time", event="os_event"), gx.Classification("subtype")]
    >>> train, val, test = gx.split(cohort, tasks, seed=0)
    >>> model = gx.TxT(tasks, preset="quick", max_epochs=2).fit(train, val)
    >>> model.predict(test)["os"].risk.shape
    (80,)
    """

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        *,
        gene_embedding: pd.DataFrame | None = None,
        preset: str = "paper",
        seed: int = 0,
        device: str = "auto",
        **settings,
    ):
        self.tasks = check_tasks(tasks)
        self.settings = choose_settings(TxTSettings, PRESETS, preset, settings)
        if gene_embedding is not None and (not isinstance(gene_embedding, pd.DataFrame) or gene_embedding.shape[1] < 2):
            found = f"{type(gene_embedding).__name__} of shape {getattr(gene_embedding, 'shape', ())}"
            message = f"gene_embedding is a DataFrame of genes x 2 or more numbers, not a {found}"
            raise TypeError(message)
        self.gene_embedding, self.seed, self.device = gene_embedding, operator.index(seed), device

    # ------------------------------------------------------------------------------------------ fitting

    def fit(self, train: AnnData, val: AnnData | None = None) -> TxT:
        """Train on one cohort, stopping early on another.

        Everything that is fitted (scaling, classes, time grids, standardisation) comes from ``train`` alone;
        ``val`` only chooses the epoch.

        Parameters
        ----------
        train, val : AnnData, DataFrame or path
            Anything :func:`gexcore.read_cohort` reads. Without ``val`` all ``max_epochs`` are trained.
        """
        train, val = as_cohort(train), None if val is None else as_cohort(val)
        if val is not None and (both := train.obs_names.intersection(val.obs_names)).size:
            message = f"{both.size} samples are in the training and the validation cohort, first {first_ids(both)}"
            raise ValueError(message)
        s, device = self.settings, choose_device(self.device)
        genes = list(train.var_names)
        expression = align_genes(train, genes)  # (N, G)
        scaler = Scaler.fit(expression, method=s.scaling, clip=s.scaling_clip)
        grid = {"n_intervals": s.n_intervals, "grid": s.grid}
        targets = [t.fit(train.obs, **grid if t.kind == "survival" else {}) for t in self.tasks]

        def tensors(cohort: AnnData, expression: np.ndarray) -> tuple[Tensor, ...]:
            labels = [torch.from_numpy(t.encode(cohort.obs)) for t in targets]
            return torch.from_numpy(scaler.transform(expression)), *labels

        data = tensors(train, expression)
        validation = None if val is None else tensors(val, align_genes(val, genes))
        if validation and all(label[:, 0].isnan().all() for label in validation[1:]):
            message = f"none of the {val.n_obs} validation samples has a label, so nothing can say when to stop"
            raise ValueError(message)
        with seeded(self.seed, device):
            given = self.gene_embedding
            module = TxTModule(len(genes), targets, s.d_model if given is None else given.shape[1], s)
            if given is not None:  # copied into place: in another memory order the same numbers round otherwise
                module.encoder.genes.data.copy_(torch.tensor(vectors_for(genes, given).to_numpy(float)))
            strategy = choose_strategy(s.multitask, [t.name for t in self.tasks], module.shared_parameters())
            losses = heads.losses_against_null(module.heads, targets, data[1:], meet=strategy.meet)
            module.to(device)
            rng = np.random.default_rng(self.seed)
            self.history_ = run_training(
                module, losses, data, validation, s, strategy=strategy, device=device, generator=rng, label="TxT"
            )
        self.genes_, self.scaler_, self.targets_, self.module_ = genes, scaler, targets, module
        return self

    # --------------------------------------------------------------------------------------- predicting

    def predict(
        self, cohort: AnnData, *, harmonise: str | None = None, min_coverage: float = 0.5
    ) -> dict[str, Prediction]:
        """Predict every task for every sample; labels in ``cohort`` are not read.

        Genes are matched by name: their order is irrelevant, extra ones are unused, absent ones stand at their training
        mean (with a warning).

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
        cohort = as_cohort(cohort)
        scores = self._run(cohort, self.fitted_module().forward, harmonise, min_coverage)
        return {t.task.name: heads.decode(t, s, cohort.obs_names) for t, s in zip(self.targets_, scores, strict=True)}

    def embed(self, cohort: AnnData, *, harmonise: str | None = None, min_coverage: float = 0.5) -> pd.DataFrame:
        """The pooled vector all heads read, a DataFrame samples x P; arguments as in :meth:`predict`."""
        cohort = as_cohort(cohort)
        module = self.fitted_module()
        (pooled,) = self._run(cohort, lambda expression: [module.embed(expression)], harmonise, min_coverage)
        return pd.DataFrame(pooled.numpy(), index=cohort.obs_names)

    def fitted_module(self) -> TxTModule:
        """The trained network; refused before :meth:`fit`."""
        if not hasattr(self, "module_"):
            message = "this TxT is not fitted yet: call fit(train, val) first"
            raise RuntimeError(message)
        return self.module_

    def _run(self, cohort: AnnData, function: Callable, harmonise: str | None, min_coverage: float) -> list[Tensor]:
        """Each result of ``function`` for all samples, computed batch by batch."""
        raw = align_genes(cohort, self.genes_, min_coverage=min_coverage)
        if harmonise is not None:
            raw = self.scaler_.harmonise(raw, harmonise)
        self.scaler_.check_range(raw)
        expression = torch.from_numpy(self.scaler_.transform(raw))
        device = choose_device(self.device)
        self.module_.to(device).eval()  # not in inference mode: weights moved there could not be differentiated again
        n = len(expression)
        if not self.module_.encoder.hears_expression():
            expression = expression[:1]  # all patients are alike; rounding, row by row, must not rank them
        slices = batches(len(expression), self.settings.batch_size)
        with torch.inference_mode():
            batched = [[result.float().cpu() for result in function(expression[s].to(device))] for s in slices]
        return [torch.cat(parts).expand(n, -1) for parts in zip(*batched, strict=True)]

    # ------------------------------------------------------------------------------------------- saving

    def save(self, path: str | PathLike) -> None:
        """Write everything prediction needs to one safetensors file, replacing it in a single step."""
        tensors = {f"module.{name}": t for name, t in self.fitted_module().state_dict().items()}
        scaler = {f"scaler.{name}": torch.from_numpy(a) for name, a in self.scaler_.state().items()}
        config = {
            "settings": asdict(self.settings),
            "seed": self.seed,
            "d_embed": self.module_.encoder.genes.shape[1],
            "targets": [target_to_dict(t) for t in self.targets_],
            "genes": self.genes_,
            "history": self.history_.to_dict("list"),
        }
        write_checkpoint(path, "TxT", {**tensors, **scaler}, config)

    @classmethod
    def load(cls, path: str | PathLike, *, device: str = "auto") -> TxT:
        """Read a model written by :meth:`save`; it predicts what the saved one did."""
        tensors, config = read_checkpoint(path, "TxT")
        targets = [target_from_dict(t) for t in config["targets"]]
        settings = {**config["settings"], "hidden": tuple(config["settings"]["hidden"])}
        model = cls([t.task for t in targets], seed=config["seed"], device=device, **settings)
        part = {
            kind: {n.removeprefix(kind): t for n, t in tensors.items() if n.startswith(kind)}
            for kind in ("module.", "scaler.")
        }
        module = TxTModule(len(config["genes"]), targets, config["d_embed"], model.settings)
        module.load_state_dict(part["module."])
        arrays = {n: t.numpy() for n, t in part["scaler."].items()}
        model.scaler_ = Scaler.from_state(arrays, method=settings["scaling"], clip=settings["scaling_clip"])
        model.genes_, model.targets_, model.module_ = config["genes"], targets, module.eval()
        model.history_ = pd.DataFrame(config["history"])
        return model

    def __repr__(self) -> str:
        tasks = ", ".join(t.name for t in self.tasks)
        fitted = f"fitted on {len(self.genes_)} genes" if hasattr(self, "genes_") else "not fitted"
        return f"TxT({tasks}; {fitted})"
