"""A model file of any kind becomes the model that was saved."""

from __future__ import annotations

from os import PathLike

from . import baselines
from .checkpoint import read_kind
from .estimator import NeuralEstimator
from .finetuning import FineTuned
from .gexbert import GexBERT
from .txt import TxT

Model = NeuralEstimator | GexBERT

_PEERS = [peer for peer in vars(baselines).values() if isinstance(peer, type) and issubclass(peer, NeuralEstimator)]
_KINDS: dict[str, type[Model]] = {kind.__name__: kind for kind in (TxT, GexBERT, FineTuned, *_PEERS)}


def load_model(path: str | PathLike, *, device: str = "auto") -> Model:
    """Read a model that any ``save`` of this package wrote; it does what the saved one did.

    Parameters
    ----------
    path : path
        A file written by :meth:`TxT.save`, :meth:`GexBERT.save`, or by that of another model that can be saved.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ...

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not a whole model file of this package, or of a kind that this version does not know.

    Examples
    --------
    >>> import tempfile
    >>> import gexcore as gx
    >>> cohort, task = gx.load_cohort("demo"), gx.Regression("age")
    >>> model = gx.TxT(task, preset="quick", max_epochs=1).fit(cohort)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/age.safetensors")
    ...     load_model(f"{folder}/age.safetensors")
    TxT(age; fitted on 200 genes)
    """
    kind = read_kind(path)
    if kind not in _KINDS:
        message = f"{path} holds a {kind}, which this version cannot load; it knows {', '.join(_KINDS)}"
        raise ValueError(message)
    return _KINDS[kind].load(path, device=device)
