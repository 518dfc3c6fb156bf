"""Where tasks disagree: the angles between their gradients in a trained or half-trained model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from .. import heads
from ..cohort import as_cohort
from ..genes import align_genes
from ..training import choose_device
from ..txt import TxT


def gradient_cosines(model: TxT, cohort: AnnData, *, parameters: str = "shared") -> pd.DataFrame:
    """Cosine between the gradients of every two tasks, over all labelled samples of a cohort.

    Below zero two tasks pull against each other: this is what PCGrad removes.

    Parameters
    ----------
    model : TxT
        A fitted model; its weights stay as they are.
    cohort : AnnData
        Samples with labels, the training cohort for example.
    parameters : {"shared", "all"}
        The parameters below the heads, or all of them, heads included, as in the published code. A head belongs to one
        task, so its entries are zero for every other task: they add to the lengths of the gradients, never to their
        products, and pull the cosines towards zero.

    Returns
    -------
    pandas.DataFrame
        Tasks x tasks, 1 on the diagonal; NaN for a task without a label in the cohort.
    """
    if parameters not in ("shared", "all"):
        message = f"parameters must be 'shared' or 'all', not {parameters!r}"
        raise ValueError(message)
    module, cohort, device = model.fitted_module(), as_cohort(cohort), choose_device(model.device)
    module.to(device).eval()
    chosen = module.shared_parameters() if parameters == "shared" else list(module.parameters())
    expression = model.inputs(align_genes(cohort, model.genes_))
    labels = [torch.from_numpy(target.encode(cohort.obs)) for target in model.targets_]
    sums = torch.zeros(len(labels), sum(p.numel() for p in chosen))
    size = model.settings.batch_size
    for part in (slice(start, start + size) for start in range(0, len(expression), size)):
        scores = module(expression[part].to(device))
        for i, (target, score, label) in enumerate(zip(model.targets_, scores, labels, strict=True)):
            known = int((~label[part, 0].isnan()).sum())
            if known:
                loss = heads.LOSSES[target.task.kind](score, label[part].to(device)) * known
                gradients = torch.autograd.grad(
                    loss, chosen, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                sums[i] += torch.cat([g.flatten() for g in gradients]).cpu()
    norms = sums.norm(dim=1, keepdim=True)
    names = [target.task.name for target in model.targets_]
    cosines = (sums / norms) @ (sums / norms).T
    return pd.DataFrame(np.where(torch.isnan(cosines), np.nan, cosines.clamp(-1, 1)), names, names)
