"""How the gradients of several tasks become one step.

The tasks meet in one representation, which all heads read. Their gradients can conflict there and in the parameters
below it; what lies above belongs to one task alone and gets that task's own gradient.
Shapes: T tasks with a labelled sample in the batch, B samples, P width of the representation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn
from torchjd import aggregation
from torchjd.linalg import DualConeProjector
from torchjd.scalarization import UW

Parts = Mapping[str, tuple[Tensor, int]]


class EqualWeights(nn.Module):
    """The mean of the task losses: with standardised losses the baseline every other strategy has to beat."""

    def __init__(
        self, tasks: Sequence[str], shared: Sequence[nn.Parameter] = (), *, total: Callable = lambda own, _: own
    ):
        super().__init__()
        self.tasks, self.shared = list(tasks), [p for p in shared if p.requires_grad]
        self.total = total  # of gradients of the shared parameters, where a batch is spread over processes

    def meet(self, representation: Tensor) -> Tensor:
        """What the heads read in a training step, (B, P)."""
        return representation

    def backward(self, parts: Parts) -> None:
        """Fill the gradients of all parameters from ``{task: (mean loss, number of labelled samples)}``."""
        torch.stack([loss for loss, _ in parts.values()]).mean().backward()
        self._total_shared()

    def _total_shared(self) -> None:
        gradients = self.total([p.grad for p in self.shared], self.shared)
        for parameter, gradient in zip(self.shared, gradients, strict=True):
            parameter.grad = gradient


class UncertaintyWeights(EqualWeights):
    """Losses weighted by a learned uncertainty per task (Kendall et al. 2018): ``exp(-s) L / 2 + s / 2``."""

    def __init__(self, tasks: Sequence[str], shared: Sequence[nn.Parameter] = (), **how):
        super().__init__(tasks, shared, **how)
        self.uncertainties = nn.ModuleList(UW(()) for _ in tasks)  # one each: a task may be absent from a batch

    def backward(self, parts: Parts) -> None:
        terms = [self.uncertainties[self.tasks.index(task)](loss) for task, (loss, _) in parts.items()]
        torch.stack(terms).sum().backward()
        self._total_shared()


class GradientSurgery(EqualWeights):
    """Combine task gradients with an aggregator, where the tasks meet.

    ``exact`` works on the gradients of the shared parameters and runs one backward pass through the encoder per task.
    Otherwise the gradients of the representation are combined, and one pass carries the result through the encoder.
    Both leave the heads alone. (The published TxT code projects the gradients of all parameters at once: 99 % of the
    entries belong to heads, where nothing can conflict, and so most of the conflict stays.)

    Parameters
    ----------
    tasks : sequence of str
    shared : sequence of nn.Parameter
        The parameters below the representation.
    aggregator : torchjd.aggregation.Aggregator
        From T gradients, the rows of a matrix, to one.
    exact : bool
    """

    def __init__(
        self,
        tasks: Sequence[str],
        shared: Sequence[nn.Parameter],
        aggregator: aggregation.Aggregator,
        *,
        exact: bool,
        **how,
    ):
        super().__init__(tasks, shared, **how)
        self.aggregator, self.exact = aggregator, exact

    def meet(self, representation: Tensor) -> Tensor:
        # The graph is cut here: gradients of the heads stop at the leaf, and the encoder waits for the combined one.
        self._below, self._leaf = representation, representation.detach().requires_grad_()
        return self._leaf

    def backward(self, parts: Parts) -> None:
        received = []  # per task: gradient of the representation, (B, P)
        for loss, _ in parts.values():
            self._leaf.grad = None
            loss.backward()  # the task's head fills its own gradients
            received.append(self._leaf.grad)
        if self.exact:
            gradients = [self._of_parameters(g, keep=g is not received[-1]) for g in received]
        else:
            gradients = [[g] for g in received]
        combined = self.combine(gradients, parts)
        if self.exact:
            for parameter, gradient in zip(self.shared, combined, strict=True):
                parameter.grad = gradient
        else:
            self._below.backward(combined[0])
            self._total_shared()
        self._below = self._leaf = None

    def _of_parameters(self, received: Tensor, *, keep: bool) -> list[Tensor]:
        own = torch.autograd.grad(
            self._below, self.shared, received, retain_graph=keep, allow_unused=True, materialize_grads=True
        )
        return self.total(own, self.shared)  # before anything is projected: a conflict is one of whole batches

    def combine(self, gradients: Sequence[Sequence[Tensor]], parts: Parts) -> list[Tensor]:
        """T gradients, each a list of tensors, to one such list."""
        if isinstance(self.aggregator, aggregation.GramianWeightedAggregator):
            # All the aggregator looks at is how the gradients stand to each other: no long vector is made.
            gramian = _gramian(gradients)
            if gramian.isfinite().all():
                weights = self.aggregator.gramian_weighting(gramian)
            else:  # solvers fail on it, but to report it is the training loop's part
                weights = gramian.new_full((len(gramian),), torch.nan)
            return _weighted_sum(gradients, weights)
        flat = torch.stack([torch.cat([t.flatten() for t in gradient]) for gradient in gradients]).float()
        pieces = self.aggregator(flat).split([t.numel() for t in gradients[0]])
        return [piece.view_as(t).to(t.dtype) for piece, t in zip(pieces, gradients[0], strict=True)]


class GradNorm(GradientSurgery):
    """Weights that make the gradient norms of the tasks follow their training rates (Chen et al. 2018).

    A task's weighted gradient norm is drawn towards ``mean norm x (relative inverse training rate) ^ alpha``, where
    the rate is the loss as a share of the task's loss at its first step. That first loss is kept throughout. (OmiEmbed
    takes it anew in every epoch.) Weights stay positive and sum to the number of tasks.
    """

    ALPHA, LEARNING_RATE, LEAST = 1.5, 0.025, 1e-3  # alpha of OmiEmbed and TxT's tables; learning rate of the paper

    def __init__(self, tasks: Sequence[str], shared: Sequence[nn.Parameter], *, exact: bool, **how):
        super().__init__(tasks, shared, aggregation.Sum(), exact=exact, **how)
        # Not among the parameters: an optimiser of their own moves them, by steps that do not depend on their scale.
        self.weights = [torch.ones((), requires_grad=True) for _ in tasks]
        self._optimizer = torch.optim.Adam(self.weights, lr=self.LEARNING_RATE)
        self.first: dict[str, float] = {}

    def combine(self, gradients: Sequence[Sequence[Tensor]], parts: Parts) -> list[Tensor]:
        norms = _gramian(gradients).diagonal().sqrt().cpu()  # (T,)
        # A loss can be 0, as that of survival in a batch where all were censored in the first interval.
        losses = {task: max(float(loss.detach()), self.LEAST) for task, (loss, _) in parts.items()}
        self.first = losses | self.first
        present = [self.weights[self.tasks.index(task)] for task in losses]
        weights = torch.stack([w.detach() for w in present])
        rate = torch.tensor([loss / self.first[task] for task, loss in losses.items()])
        goal = (weights * norms).mean() * (rate / rate.mean()) ** self.ALPHA
        for weight, w, norm, g in zip(present, weights, norms, goal, strict=True):
            weight.grad = norm * torch.sign(w * norm - g)  # of |w norm - goal|, the goal held fixed
        combined = _weighted_sum(gradients, weights.to(gradients[0][0].device))
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            total = sum(w.clamp_(min=self.LEAST) for w in self.weights)
            for weight in self.weights:
                weight.mul_(len(self.weights) / total)
        return combined


class _ConeProjector(DualConeProjector):
    """Smallest ``w >= u`` in the norm of the Gramian G: with G = L'L and v = w - u, least squares over v >= 0.

    Gradients are brought to length 1 first. Eigenvalues within their rounding are lifted out of it: exactly opposed
    gradients would otherwise get weights without bound.
    """

    ROUNDING = 1e-6  # of cosines in single precision, with room to spare

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:
        gramian, u = (t.double().cpu().numpy() for t in (G, U))
        norms = np.sqrt(gramian.diagonal())
        norms = np.where(norms > 0, norms, 1.0)
        values, vectors = np.linalg.eigh(gramian / np.outer(norms, norms))
        root = np.sqrt(values.clip(min=self.ROUNDING))[:, None] * vectors.T  # (T, T), root' root = G
        u = u.reshape(-1, len(root)) * norms
        w = np.stack([row + nnls(root, -root @ row)[0] for row in u]) / norms
        return torch.from_numpy(w).to(U).view_as(U)

    def __repr__(self) -> str:
        return "nnls"


_AGGREGATORS = {
    "pcgrad": aggregation.PCGrad,  # Yu et al. 2020, the paper's
    "mgda": aggregation.MGDA,  # Desideri 2012, Sener and Koltun 2018
    # Liu et al. 2021, with their c. By default gradients below a hundredth count as none; a representation's often are.
    "cagrad": lambda: aggregation.CAGrad(c=0.4, norm_eps=1e-8),
    "upgrad": lambda: aggregation.UPGrad(projector=_ConeProjector()),  # Quinton and Rey 2024
    "dualproj": lambda: aggregation.DualProj(projector=_ConeProjector()),  # Lopez-Paz and Ranzato 2017
    "imtl-g": aggregation.IMTLG,  # Liu et al. 2021
    "aligned-mtl": aggregation.AlignedMTL,  # Senushkin et al. 2023
    "fairgrad": lambda: aggregation.FairGrad(alpha=2.0),  # Ban and Ji 2024, with their alpha
    "graddrop": aggregation.GradDrop,  # Chen et al. 2020
    "config": aggregation.ConFIG,  # Liu et al. 2025
    "random": aggregation.Random,  # Lin et al. 2022
}
_ON_GRADIENTS = ("gradnorm", *_AGGREGATORS)
STRATEGIES = ("equal", "uncertainty", *_ON_GRADIENTS, *(f"{name}-fast" for name in _ON_GRADIENTS))


def choose_strategy(name: str, tasks: Sequence[str], shared: Sequence[nn.Parameter], **how) -> EqualWeights:
    """The strategy called ``name``, one of :data:`STRATEGIES`; ``-fast`` works on the representation.

    Parameters
    ----------
    name : str
        ``equal``, ``uncertainty``, ``gradnorm``, or an aggregator of torchjd in lower case. Those that remember past
        steps of a fixed set of tasks (GradVac, NashMTL) are not among them: a batch need not hold labels of all.
    tasks : sequence of str
        All tasks; with a single one there is nothing to combine.
    shared : sequence of nn.Parameter
        The parameters below the representation where the tasks meet.
    **how
        ``total``: where each process has some rows of a batch, gradients of the shared parameters become those of the
        whole batch by it, a method of :class:`gexcore.parallel.OneProcess`.

    Raises
    ------
    ImportError
        ``cagrad`` without cvxpy.
    """
    if len(tasks) == 1 or name == "equal":
        return EqualWeights(tasks, shared, **how)
    if name == "uncertainty":
        return UncertaintyWeights(tasks, shared, **how)
    kind, exact = name.removesuffix("-fast"), not name.endswith("-fast")
    if kind == "gradnorm":
        return GradNorm(tasks, shared, exact=exact, **how)
    try:
        return GradientSurgery(tasks, shared, _AGGREGATORS[kind](), exact=exact, **how)
    except ImportError as error:
        message = f"multitask={name!r} solves its problem with cvxpy: pip install gexcore[peers]"
        raise ImportError(message) from error


def _gramian(gradients: Sequence[Sequence[Tensor]]) -> Tensor:
    """Inner products of T gradients, each a list of tensors, (T, T)."""
    blocks = zip(*gradients, strict=True)  # tensor by tensor
    rows = (torch.stack([t.flatten() for t in block]).float() for block in blocks)
    return sum(r @ r.T for r in rows)


def _weighted_sum(gradients: Sequence[Sequence[Tensor]], weights: Tensor) -> list[Tensor]:
    return [
        torch.stack(block).mul(weights.to(block[0]).view(-1, *[1] * block[0].dim())).sum(0)
        for block in zip(*gradients, strict=True)
    ]
