"""Which genes stand for a gene set: the attention within sets of a TxT with ``attention="pathways"``.

Shapes: B samples of a batch, N samples, H heads, M memberships (pairs of a token and a gene it reads).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from ..cohort import as_cohort
from ..training import batches, choose_device
from ..txt import TxT


def attention_within_sets(
    model: TxT,
    cohort: AnnData,
    *,
    by_sample: bool = False,
    harmonise: str | None = None,
    min_coverage: float = 0.5,
) -> pd.DataFrame:
    """How much each token of a gene set takes of each of its genes, averaged over heads.

    :func:`read_attention` and its collectors read what comes after it, the attention among tokens.

    Parameters
    ----------
    model : TxT
        Fitted with ``attention="pathways"``.
    cohort, harmonise, min_coverage
        As in :meth:`gexcore.TxT.predict`.
    by_sample : bool
        A row per sample too, N x M of them; else means over the samples.

    Returns
    -------
    pandas.DataFrame
        token, gene, ``weight``, and ``even``, one over the number of genes of the token, which is every weight of a
        token that prefers none. By sample there is a first column sample; else there is ``sd`` of the weight over
        samples, 0 where expression has no part in it. Weights of a token sum to 1 in each sample.

    Raises
    ------
    TypeError
        A model without gene sets.

    Examples
    --------
    >>> table = attention_within_sets(model, test)  # doctest: +SKIP
    >>> table.sort_values("weight").groupby("token").tail(3)  # doctest: +SKIP
    """
    module = model.fitted_module()
    if not getattr(model, "tokens_", None):
        message = (
            f"a {type(model).__name__} without gene sets has no attention within them: fit a TxT with "
            "attention='pathways' and gene_sets"
        )
        raise TypeError(message)
    cohort = as_cohort(cohort)
    inputs = model.read(cohort, harmonise=harmonise, min_coverage=min_coverage)
    device = choose_device(model.device)
    module.to(device).eval()
    rows, parts = [(token, gene, 1 / len(genes)) for token, genes in model.tokens_.items() for gene in genes], []
    with torch.no_grad():
        for batch in batches(len(inputs), model.settings.batch_size):
            parts.append(module.encoder.within_sets(inputs[batch].to(device)).mean(1).cpu())  # (B, M)
    weights = torch.cat(parts).double().numpy()  # (N, M)
    table = pd.DataFrame(rows, columns=["token", "gene", "even"])
    if not by_sample:
        table = table.assign(weight=weights.mean(0), sd=weights.std(0))
        return table[["token", "gene", "weight", "even", "sd"]]
    table = pd.concat([table] * len(weights), ignore_index=True).assign(weight=weights.ravel())
    table.insert(0, "sample", np.repeat(cohort.obs_names, weights.shape[1]))
    return table[["sample", "token", "gene", "weight", "even"]]
