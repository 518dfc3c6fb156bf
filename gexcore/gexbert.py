"""GexBERT (Jiang and Hassanpour 2025): pretrained by hiding expression and restoring it.

The estimator fits the network of :mod:`gexcore.restorer` to a cohort without looking at any label, and uses it on any
panel of genes: to impute, to restore genes never measured, to embed samples and genes, to read attention.
Shapes: B samples of a batch, N samples, G genes, D width, P axes of the linear path.
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from os import PathLike

import numpy as np
import pandas as pd
import torch
from anndata import AnnData, concat
from torch import Tensor

from .checkpoint import read_checkpoint, write_checkpoint
from .cohort import as_cohort
from .cohort.backed import drawn, load, load_rows, refuse_size
from .cohort.checks import refuse_overlap, refuse_unfitted
from .cohort.tally import rows_together
from .genes import align_genes, fill_in
from .levels import Levels
from .mixture import FactorMixture
from .multitask import EqualWeights
from .parallel import choose_processes
from .pretraining import (
    PRIORS,
    check_cohorts,
    fit_mixtures,
    prior_vectors,
    restoration_losses,
    some_samples,
    training_samples,
    validation_samples,
)
from .restorer import PRESETS, GexBERTSettings, Restorer
from .scaling import Scaler
from .tasks import CohortWarning, first_ids
from .training import choose_device, choose_settings, seeded
from .training import train as run_training

_BATCH = 32  # samples restored at once


class GexBERT:
    """Learn how genes go together from expression alone; restore, embed and explain any panel of them.

    Parameters
    ----------
    gene_prior : {"spectral", "node2vec"} or pandas.DataFrame, optional
        Vectors of genes known beforehand, added to the learned ones through a learned map: from the correlations of
        the training samples (:mod:`gexcore.coexpression`), or given as genes x numbers, for example of a protein
        network. None, the default, is the paper's.
    preset : {"paper", "quick"}
        ``"paper"``: the described network with assumed sizes. ``"quick"``: a small transformer that refines a
        closed-form restoration, for minutes on a CPU.
    seed : int
        Initial weights, hidden genes, folds and the order of samples.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ...
    **settings
        Any field of :class:`GexBERTSettings`, over the preset's value.

    Attributes
    ----------
    settings : GexBERTSettings
    history_ : pandas.DataFrame
        epoch, split ("train", "val"), task, loss: "value", the mean squared error in standard deviations of a gene,
        and "levels", minus the log probability of the true level; of hidden genes only.
    genes_ : list of str
        Genes of the training cohort: those that can be read and restored.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort = gx.load_cohort("demo-pan-cancer")[:200].copy()
    >>> train, val = cohort[:150].copy(), cohort[150:].copy()
    >>> bert = gx.GexBERT(preset="quick", max_epochs=1, n_components=1, n_factors=8).fit(train, val)
    >>> panel = val[:, ["HYPOX_16", "ECM_09"]].copy()
    >>> bert.restore(panel, ["ECM_20"]).shape
    (50, 1)
    """

    def __init__(
        self,
        *,
        gene_prior: str | pd.DataFrame | None = None,
        preset: str = "paper",
        seed: int = 0,
        device: str = "auto",
        **settings,
    ):
        self.settings = choose_settings(GexBERTSettings, PRESETS, preset, settings)
        if not (gene_prior is None or isinstance(gene_prior, pd.DataFrame) or gene_prior in PRIORS):
            message = f"gene_prior is {', '.join(PRIORS)} or a DataFrame of genes x numbers, not {gene_prior!r}"
            raise ValueError(message)
        self.gene_prior, self.seed, self.device = gene_prior, operator.index(seed), device

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
    ) -> GexBERT:
        """Pretrain on one cohort, stopping early on another; no label is read.

        Scaling, levels, linear path and prior come from ``train`` alone, of more than ``fit_samples`` training samples
        from so many, drawn by chance. What is hidden of ``val``, a share between the mask rates, is the same in every
        epoch.

        Parameters
        ----------
        train, val : AnnData, DataFrame or path
            Anything :func:`gexcore.read_cohort` reads. Without ``val`` all ``max_epochs`` are trained. Of a cohort on
            disk (``read_cohort(path, backed=True)`` and its parts) with more than ``fit_samples`` samples, every epoch
            reads all training samples, ahead of the steps (:class:`gexcore.streams.Streamed`), and of ``val``
            ``fit_samples`` are used.
        checkpoint : path, optional
            Written after every epoch; the same call later goes on where it was broken off, to the same bits.
        devices, num_nodes, strategy
            As in :meth:`gexcore.estimator.NeuralEstimator.fit`.

        Raises
        ------
        ValueError
            Genes without a value in any training sample, samples without a value, or samples in both cohorts.
        """
        s, device = self.settings, choose_device(self.device)
        processes = choose_processes(device, devices=devices, num_nodes=num_nodes, strategy=strategy)
        train, val = as_cohort(train, backed=True), None if val is None else as_cohort(val, backed=True)
        chosen = drawn(train.n_obs, s.fit_samples, self.seed)
        refuse_overlap(train, val)
        basis = some_samples(train, chosen)
        val = load(val, samples=drawn(val.n_obs, s.fit_samples, self.seed)) if val is not None and val.isbacked else val
        check_cohorts(basis, val)
        processes.launch()
        genes = list(train.var_names)
        scaler = Scaler.fit(basis.X, method="zscore", clip=s.scaling_clip)
        values = scaler.standardise(basis.X)
        levels = Levels.fit(values, n_levels=s.n_levels)
        score = levels.score(values)
        rng = np.random.default_rng(self.seed)
        fold = rng.permutation(train.n_obs) % s.n_folds
        validation = None
        if val is not None:
            validation = validation_samples(scaler.standardise(align_genes(val, genes)), levels, s.mask_rates, rng)
        linear, folds = fit_mixtures(score, fold[chosen], s, self.seed)
        prior = None if self.gene_prior is None else prior_vectors(self.gene_prior, basis, self.seed)
        if len(chosen) == train.n_obs:
            data = tuple(map(torch.from_numpy, (score, values, fold)))
        else:
            data = training_samples(train, fold, scaler, levels, s.buffer_samples)
        device = processes.device
        with seeded(self.seed, device):
            module = Restorer(torch.from_numpy(levels.values).float(), s, prior=prior, linear=linear).to(device)
            folds = [mixture.to(device) for mixture in folds]
            losses = functools.partial(restoration_losses, folds=folds, share=processes.share)
            self.history_ = run_training(
                module,
                losses,
                data,
                validation,
                s,
                strategy=EqualWeights((), module.parameters(), total=processes.total),
                device=device,
                processes=processes,
                generator=rng,
                label="GexBERT",
                checkpoint=checkpoint,
            )
        self.genes_, self.scaler_, self.levels_, self.module_ = genes, scaler, levels, module
        return self

    # -------------------------------------------------------------------------------------------- using

    def impute(self, cohort: AnnData, *, n_panels: int = 2, min_coverage: float = 0.0) -> AnnData:
        """The cohort with the training genes in their order and a value in every cell.

        Observed values stay as they are, to the bit, and so does ``obs``. Genes the cohort lacks are filled in for
        every sample; those that were not in training are left out, with a warning.

        Parameters
        ----------
        cohort : AnnData, DataFrame or path
            Anything :func:`gexcore.read_cohort` reads, on the scale of the training samples; any panel of genes.
        n_panels : int
            Where a sample has more genes than the encoder reads at once, up to so many panels share them, and what
            they restore is averaged.
        min_coverage : float
            A cohort that has a smaller share of the training genes is refused.

        Returns
        -------
        AnnData
            ``layers["sd"]``: the standard deviation of what was filled in, in the unit of the cohort; 0 where a value
            was measured. It is in memory, also where the cohort is on disk; if it would fill more than half of that,
            the cohort is refused: impute some samples at a time, as in ``bert.impute(cohort[:10_000])``.
        """
        cohort = as_cohort(cohort, backed=True)
        if cohort.isbacked:
            size = cohort.n_obs, len(self._fitted().genes_)
            refuse_size(*size, 8, "impute some samples at a time, as in impute(cohort[:10_000])")
        parts = [self._impute(part, score, n_panels) for part, score in self._parts(cohort, min_coverage)]
        return parts[0] if len(parts) == 1 else concat(parts, uns_merge="same")

    def _impute(self, cohort: AnnData, score: np.ndarray, n_panels: int) -> AnnData:

        def fill(part: Tensor) -> list[Tensor]:
            hole = part.isnan()
            most = max(1, int(hole.sum(1).max()))
            targets = (~hole).int().argsort(dim=1, stable=True)[:, :most]  # the holes first
            value, sd = self.module_.restore(part, targets, n_panels)
            return [torch.zeros_like(part).scatter(1, targets, t.to(part)) for t in (value, sd)]

        value, sd = self._run(score, fill)
        filled = fill_in(cohort, self.genes_, self.scaler_.inverse(value))
        sd = self.scaler_.inverse(sd) - self.scaler_.shift
        filled.layers["sd"] = np.where(np.isnan(score), sd, 0.0).astype("float32")
        return filled

    def restore(self, cohort: AnnData, genes: Sequence[str], *, n_panels: int = 2) -> pd.DataFrame:
        """Expected expression of given genes for every sample, a DataFrame samples x genes in the unit of training.

        They are restored from all other genes: where a sample has one of them, that value is not looked at.
        """
        known = pd.Index(self._fitted().genes_)
        position = known.get_indexer(list(genes))
        if (position < 0).any():
            unknown = [gene for gene, place in zip(genes, position, strict=True) if place < 0]
            message = f"{len(unknown)} of {len(position)} genes were not in training, first {first_ids(unknown)}"
            raise ValueError(message)
        asked = torch.from_numpy(position)

        def restored(part: Tensor) -> list[Tensor]:
            return [self.module_.restore(part, asked.to(part.device).expand(len(part), -1), n_panels)[0]]

        tables, scaler = [], self.scaler_.of(position)
        for part, score in self._parts(as_cohort(cohort, backed=True)):
            score[:, position] = np.nan
            (value,) = self._run(score, restored)
            tables.append(pd.DataFrame(scaler.inverse(value), index=part.obs_names, columns=known[position]))
        return pd.concat(tables)

    def embed(self, cohort: AnnData, *, n_panels: int = 2) -> pd.DataFrame:
        """A vector per sample from whatever genes it has: summaries of encoder and linear path, samples x D + P."""
        parts = self._parts(as_cohort(cohort, backed=True))
        table = pd.concat(pd.DataFrame(self.represent(score, n_panels), part.obs_names) for part, score in parts)
        width = self.settings.d_model
        names = [f"summary_{i}" for i in range(width)] + [f"linear_{i}" for i in range(table.shape[1] - width)]
        return table.set_axis(names, axis=1)

    @torch.no_grad()
    def gene_embedding(self) -> pd.DataFrame:
        """The learned gene vectors, a DataFrame genes x D: what TxT takes as ``gene_embedding``."""
        vectors = self._fitted().module_.gene_vectors().cpu().numpy()
        return pd.DataFrame(vectors, index=pd.Index(self.genes_, name="gene"))

    def attention(self, cohort: AnnData, *, by_summary: bool = False) -> pd.DataFrame:
        """Attention that each gene receives in the encoder, a DataFrame samples x genes; a row sums to 1.

        Means over heads, layers and the genes that attend (``by_summary``: only the summary token attends). Of a
        sample with more genes than the panel holds, one panel is read. NaN where a sample has no value.
        """
        cohort = as_cohort(cohort, backed=True)
        if not self.settings.n_layers:
            message = "n_layers is 0: there is no encoder layer whose attention could be read"
            raise ValueError(message)

        def received(part: Tensor) -> list[Tensor]:
            return [self.module_.received(part, by_summary=by_summary)]

        parts = ((part, self._run(score, received, size=4)) for part, score in self._parts(cohort))
        return pd.concat(pd.DataFrame(*share, part.obs_names, self.genes_) for part, share in parts)

    def _fitted(self) -> GexBERT:
        refuse_unfitted(self, "module_")
        return self

    def scores(self, cohort: AnnData, min_coverage: float = 0.0) -> np.ndarray:
        """Normal scores of the training genes, (N, G), NaN where a sample has no value."""
        raw = self._aligned(cohort, min_coverage)
        self.scaler_.check_range(raw)
        return self._score(raw, cohort.obs_names)

    def _parts(self, cohort: AnnData, min_coverage: float = 0.0) -> Iterator[tuple[AnnData, np.ndarray]]:
        """The cohort and its scores; one on disk part by part, its genes and scale judged by samples of all parts."""
        if not cohort.isbacked:
            yield cohort, self.scores(cohort, min_coverage)
            return
        size = _BATCH * max(1, rows_together(len(self._fitted().genes_)) // _BATCH)
        some = load_rows(cohort, drawn(cohort.n_obs, size, self.seed))
        self.scaler_.check_range(self._aligned(some, min_coverage))
        for start in range(0, cohort.n_obs, size):
            part = load_rows(cohort, np.arange(start, min(start + size, cohort.n_obs)), genes=self.genes_)
            yield part, self._score(self._aligned(part), part.obs_names)

    def _aligned(self, cohort: AnnData, min_coverage: float = 0.0) -> np.ndarray:
        """Expression of the training genes, (N, G)."""
        self._fitted()
        known = cohort.var_names.isin(self.genes_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CohortWarning)  # a small panel is what this model is for
            raw = align_genes(cohort, self.genes_, min_coverage=max(min_coverage, 0.5 / len(self.genes_)))
        if not known.all():
            unknown = cohort.var_names[~known]
            message = (
                f"{len(unknown)} of {cohort.n_vars} genes were not in training and are not used ({first_ids(unknown)})"
            )
            warnings.warn(message, CohortWarning, stacklevel=3)
        return raw

    def _score(self, raw: np.ndarray, samples: pd.Index) -> np.ndarray:
        empty = np.isnan(raw).all(axis=1)
        if empty.any():
            message = (
                f"{empty.sum()} samples have no value of any training gene ({first_ids(samples[empty])}): "
                "what they get is the same for all of them"
            )
            warnings.warn(message, CohortWarning, stacklevel=3)
        return self.levels_.score(self.scaler_.standardise(raw))

    def represent(self, score: np.ndarray, n_panels: int = 2) -> np.ndarray:
        """Vectors of samples given as normal scores of all training genes, (N, G) to (N, D + P)."""
        (vectors,) = self._run(score, lambda part: [self.module_.represent(part, n_panels)])
        return vectors

    def _run(self, score: np.ndarray, function: Callable, size: int = _BATCH) -> Iterator[np.ndarray]:
        """Each result of ``function`` for all samples, computed batch by batch."""
        device = choose_device(self.device)
        self.module_.to(device).eval()
        with torch.no_grad():
            parts = [
                [result.double().cpu() for result in function(part.to(device))]
                for part in torch.from_numpy(score).split(size)
            ]
        return (torch.cat(part).numpy() for part in zip(*parts, strict=True))

    # ------------------------------------------------------------------------------------------- saving

    def save(self, path: str | PathLike) -> None:
        """Write everything that using the model needs to one safetensors file, replacing it in a single step."""
        write_checkpoint(path, "GexBERT", *self.parts())

    @classmethod
    def load(cls, path: str | PathLike, *, device: str = "auto") -> GexBERT:
        """Read a model written by :meth:`save`; it restores what the saved one did."""
        return cls.from_parts(*read_checkpoint(path, "GexBERT"), device=device)

    def parts(self) -> tuple[dict[str, Tensor], dict]:
        """The fitted model as tensors and JSON values: what a checkpoint holds."""
        module, linear = self._fitted().module_, self.module_.linear
        tensors = {f"module.{name}": t for name, t in module.state_dict().items()}
        for kind, part in (("scaler", self.scaler_), ("levels", self.levels_)):
            tensors |= {f"{kind}.{name}": torch.from_numpy(a) for name, a in part.state().items()}
        config = {
            "settings": asdict(self.settings),
            "seed": self.seed,
            "genes": self.genes_,
            "prior": None if module.prior is None else module.prior.shape[1],
            "linear": None if linear is None else [*linear.loadings.shape[::2], linear.axes.shape[1]],
            "history": self.history_.to_dict("list"),
        }
        return tensors, config

    @classmethod
    def from_parts(cls, tensors: Mapping[str, Tensor], config: Mapping, *, device: str = "auto") -> GexBERT:
        """The inverse of :meth:`parts`."""
        settings = {**config["settings"], "mask_rates": tuple(config["settings"]["mask_rates"])}
        bert = cls(seed=config["seed"], device=device, **settings)
        module, scaler, levels = (
            {name.removeprefix(kind): t for name, t in tensors.items() if name.startswith(kind)}
            for kind in ("module.", "scaler.", "levels.")
        )
        scaler, levels = ({name: t.numpy() for name, t in part.items()} for part in (scaler, levels))
        bert.scaler_ = Scaler.from_state(scaler, method="zscore", clip=settings["scaling_clip"])
        bert.levels_ = Levels.from_state(levels)
        n_genes, width, shape = len(config["genes"]), config["prior"], config["linear"]
        prior = None if width is None else torch.zeros(n_genes, width)
        linear = None if shape is None else FactorMixture(n_genes, *shape)
        bert.module_ = Restorer(module["values"], bert.settings, prior=prior, linear=linear)
        bert.module_.load_state_dict(module)
        bert.module_.eval()
        bert.genes_, bert.history_ = config["genes"], pd.DataFrame(config["history"])
        return bert

    def __repr__(self) -> str:
        fitted = f"fitted on {len(self.genes_)} genes" if hasattr(self, "genes_") else "not fitted"
        return f"GexBERT({fitted})"
