"""What each gene adds to one prediction of one sample, by integrated gradients (Sundararajan et al. 2017).

Shapes: N samples, B samples of a batch, G genes, C classes, K time intervals.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from ..cohort import as_cohort
from ..estimator import MultitaskModule, NeuralEstimator
from ..losses import mtlr_survival
from ..tasks import ClassificationTarget, SurvivalTarget, Target
from ..training import choose_device


def integrated_gradients(
    model: NeuralEstimator, cohort: AnnData, task: str, *, output: str | None = None, n_steps: int = 32
) -> pd.DataFrame:
    """Share out among the genes how far a sample's prediction lies from that of the mean training patient.

    Gradients are averaged along the straight line, on the model's scale, from a patient whose genes all stand at their
    training mean to the sample; a gene's share is its average gradient times its distance from the mean. The shares
    of a sample add up to the difference between the two predictions.

    Parameters
    ----------
    model : NeuralEstimator
        Fitted, and a reader of scaled expression gene by gene: TxT, MLP. It stays as it is.
    cohort : AnnData
        Samples; genes are matched by name.
    task : str
        Name of one of the model's tasks.
    output : str, optional
        The class that is explained, for a classification only; the one each sample is given, unless named.
    n_steps : int
        Gauss-Legendre nodes on the line: more of them bring the sum closer to the difference.

    Returns
    -------
    pandas.DataFrame
        Samples x genes of the model. Survival: in the unit of the model's risk (minus the time expected within the
        horizon). Classes: log odds of the class. Numbers: the label's unit. A gene that a sample has no value of
        stands at its mean and gets 0.

    Examples
    --------
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Regression("age")
    >>> train, val, test = gx.split(cohort, task, seed=0)
    >>> model = gx.baselines.MLP(task, preset="quick", max_epochs=2).fit(train, val)
    >>> integrated_gradients(model, test, "age").shape
    (80, 200)
    """
    if not isinstance(model, NeuralEstimator):
        message = f"a {type(model).__name__} has no gradient: integrated gradients need a neural model, such as TxT"
        raise TypeError(message)
    if n_steps < 1:
        message = f"n_steps is a number of points on the line, 1 or more, not {n_steps}"
        raise ValueError(message)
    module, device = model.fitted_module(), choose_device(model.device)
    if not isinstance(module, MultitaskModule) or type(model).inputs is not NeuralEstimator.inputs:
        message = (
            f"{type(model).__name__} does not read scaled expression gene by gene, so there is no line from the mean "
            "patient; integrated gradients are for TxT, MLP and their like"
        )
        raise TypeError(message)
    index, column = _position(model, task, output)
    cohort = as_cohort(cohort)
    module.to(device).eval()
    mean = torch.from_numpy(model.scaler_.fill).float().to(device)  # (G,)
    node, weight = np.polynomial.legendre.leggauss(n_steps)
    node, weight = (node + 1) / 2, weight / 2  # from -1..1 to 0..1
    shares = []
    for part in model.read(cohort).to(device).split(model.settings.batch_size):
        with torch.no_grad():
            given = module(part)[index].argmax(1, keepdim=True)  # (B, 1)
        chosen = given if column is None else torch.full_like(given, column)
        way, gradient = part - mean, torch.zeros_like(part)  # (B, G)
        for t, w in zip(node.tolist(), weight.tolist(), strict=True):
            x = (mean + t * way).requires_grad_()
            value = _value(model.targets_[index], module(x)[index].double(), chosen)  # (B,)
            (slope,) = torch.autograd.grad(value.sum(), x, allow_unused=True, materialize_grads=True)
            gradient += w * slope
        shares.append((gradient * way).cpu())
    return pd.DataFrame(torch.cat(shares).numpy(), index=cohort.obs_names, columns=model.genes_)


def _position(model: NeuralEstimator, task: str, output: str | None) -> tuple[int, int | None]:
    """Which head, and which of its classes, is meant."""
    names = [target.task.name for target in model.targets_]
    if task not in names:
        message = f"task names one of the model's ({', '.join(names)}), not {task!r}"
        raise ValueError(message)
    target = model.targets_[names.index(task)]
    classes = target.classes if isinstance(target, ClassificationTarget) else ()
    if output is not None and output not in classes:
        known = f"one of its classes ({', '.join(classes)})" if classes else "for classifications only"
        message = f"output of task {task!r} ({target.task.kind}) is {known}, not {output!r}"
        raise ValueError(message)
    return names.index(task), None if output is None else classes.index(output)


def _value(target: Target, scores: Tensor, chosen: Tensor) -> Tensor:
    """What :func:`gexcore.heads.decode` says of scores (B, n_outputs), as one number per sample, differentiable."""
    if isinstance(target, SurvivalTarget):
        times = torch.from_numpy(np.minimum(target.edges, target.horizon)).to(scores.device)  # (K,)
        return -torch.trapezoid(mtlr_survival(scores), times, dim=1)
    if isinstance(target, ClassificationTarget):
        return scores.gather(1, chosen)[:, 0] - scores.scatter(1, chosen, -math.inf).logsumexp(1)
    return scores[:, 0] * target.sd + target.mean
