"""Attention conditioned on expression in one pass on a CPU: ``fused.cpp``, compiled where it is first needed.

torch's own fused attention for CPUs has no dropout, needs the expression term folded into wider queries and keys, and
takes most of a training step. Where no C++ compiler is at hand it serves all the same (:func:`serves`). Under autocast
to bfloat16 ``fused_bf16.cpp`` takes over, if the processor has matrix units for it.
Shapes: B samples, G genes, D attention width, H heads, d = D / H.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch import Tensor

from ..files import sync

_SOURCES = {
    torch.float32: Path(__file__).with_suffix(".cpp"),
    torch.bfloat16: Path(__file__).with_name("fused_bf16.cpp"),
}
_HEADER = Path(__file__).with_suffix(".h")
_FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
_LEAST = 2**24  # pairs of genes: with fewer, in single precision and without dropout, torch is as good
_WIDEST = {torch.float32: 64, torch.bfloat16: 16}  # d that registers and matrix units hold


class _Inputs(ctypes.Structure):
    """``Inputs`` of ``fused.h``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("q", "k", "v", "g", "c")),
        *((name, ctypes.c_int64) for name in ("q_batch", "k_batch", "v_batch", "q_row", "k_row", "v_row")),
        *((name, ctypes.c_int64) for name in ("genes", "heads")),
        *((name, ctypes.c_float) for name in ("scale", "rate")),
        ("seed", ctypes.c_void_p),
    )


def serves(expression: Tensor, d_model: int, n_heads: int, dropout: float) -> bool:
    """Whether :func:`attend` takes these samples (B, G): on a CPU, where it is worth it, and if a compiler made it."""
    if torch.compiler.is_compiling():  # which cannot look into it
        return False
    pairs = n_heads * expression.numel() * expression.shape[1]
    worth = pairs >= _LEAST or dropout > 0 or torch.is_autocast_enabled("cpu")
    return worth and not expression.is_cuda and _library(d_model // n_heads, torch.float32) is not None


def attend(
    q: Tensor, k: Tensor, v: Tensor, expression: Tensor, strength: Tensor, *, scale: float, dropout: float = 0.0
) -> Tensor:
    """Heads side by side, (B, G, D), of ``softmax_j(scale q_i . k_j + c_h g_i g_j)``.

    Single precision; products in bfloat16 where q is, and the processor multiplies it.

    Parameters
    ----------
    q, k, v : Tensor, (B or 1, G, D)
    expression : Tensor, (B, G)
    strength : Tensor, (H,)
        c of each head.
    dropout : float
        Share of the weights that are set to 0, the others divided by 1 - dropout; drawn from torch's generator.
    """
    reduced = q.dtype is torch.bfloat16 and _library(q.shape[-1] // len(strength), torch.bfloat16) is not None
    g, c = expression.float(), strength.float()
    seed = torch.randint(-(2**31), 2**31, (len(g) * len(c),), dtype=torch.int32) if dropout else None
    q, k, v = (t.expand(len(g), -1, -1) for t in (q, k, v))
    return _attend(q, k, v, g.contiguous(), c.contiguous(), seed, scale, dropout, reduced)[0]


# ------------------------------------------------------------------------------------------------- torch


@torch.library.custom_op("gexcore::attend", mutates_args=())
def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    c: Tensor,
    seed: Tensor | None,
    scale: float,
    rate: float,
    reduced: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor]:
    out, lse = g.new_empty(q.shape), g.new_empty(len(g) * len(c), g.shape[1])
    _run("forward", (q, k, v, g, c, seed, scale, rate, reduced), out, lse)
    return out, lse


@torch.library.custom_op("gexcore::attend_backward", mutates_args=())
def _attend_backward(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    c: Tensor,
    seed: Tensor | None,
    out: Tensor,
    lse: Tensor,
    scale: float,
    rate: float,
    reduced: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    inputs = (q, k, v, g, c, seed, scale, rate, reduced)
    of_rows = [g.new_empty(q.shape) for _ in range(3)]  # of q, k and v
    d_g, d_c = g.new_empty(len(g), len(c), g.shape[1]), g.new_empty(len(g), len(c))  # by sample and head
    _run("backward", inputs, out, lse, d_out.float().contiguous(), *of_rows, d_g, d_c)
    return *(d.to(q.dtype) for d in of_rows), d_g.sum(1), d_c.sum(0)


def _remember(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.scale, ctx.rate, ctx.reduced = inputs
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx, d_out: Tensor, _: Tensor) -> tuple:
    *tensors, out, lse = ctx.saved_tensors
    return *_attend_backward(d_out, *tensors, out, lse, ctx.scale, ctx.rate, ctx.reduced), None, None, None, None


_attend.register_autograd(_differentiate, setup_context=_remember)


def _rows(x: Tensor) -> Tensor:
    """Single precision with the numbers of a row side by side; what all samples share stays shared."""
    x = x.float() if len(x) == 1 or x.stride(0) else x[:1].float().expand(x.shape)
    return x if x.stride(2) == 1 else x.contiguous()


def _run(name: str, inputs: tuple, *results: Tensor) -> None:
    """Pairs of sample and head, shared out among as many threads as torch uses; ``inputs`` are those of `_attend`."""
    *rows, g, c, seed, scale, rate, reduced = inputs
    q, k, v = (_rows(t) for t in rows)
    inputs = _Inputs(
        *(t.data_ptr() for t in (q, k, v, g, c)),
        *(t.stride(0) for t in (q, k, v)),
        *(t.stride(1) for t in (q, k, v)),
        g.shape[1],
        len(c),
        scale,
        rate,
        seed is not None and seed.data_ptr(),
    )
    function = getattr(_library(q.shape[2] // len(c), torch.bfloat16 if reduced else torch.float32), name)
    pairs, threads = len(g) * len(c), torch.get_num_threads()
    bounds = [ctypes.c_int64(pairs * i // threads) for i in range(threads + 1)]
    arguments = [ctypes.c_void_p(t.data_ptr()) for t in results]

    def share(i: int) -> None:
        function(ctypes.byref(inputs), *arguments, bounds[i], bounds[i + 1])  # other threads go on meanwhile

    if threads == 1:
        share(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(share, range(threads)))


# -------------------------------------------------------------------------------------------- compiling


@functools.cache
def _library(d: int, dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled source for heads of width d, None where there can be none."""
    source = _SOURCES[dtype]
    compiler = shutil.which(os.environ.get("CXX") or "c++")
    if compiler is None or d > _WIDEST[dtype]:
        return None
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        command = [compiler, *_FLAGS, f"-DD={d}"]
        # What "native" means differs between machines that may share one home folder.
        native = _output([*command, "-x", "c++", "-E", "-dM", os.devnull])
        if dtype is torch.bfloat16 and b"__AMX_BF16__" not in native:
            return None
        parts = [native, _HEADER.read_bytes(), source.read_bytes(), *map(os.fsencode, command)]
        key = hashlib.sha256(b"\0".join(parts)).hexdigest()
        path = user_cache_path("gexcore") / "kernels" / f"{source.stem}-{key[:16]}.so"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # two processes may compile at once
                made = Path(folder) / path.name
                _output([*command, str(source), "-o", str(made)])
                sync(made)  # a name without its bytes would never be compiled again
                made.replace(path)
        library = ctypes.CDLL(str(path))
        return library if library.ready() else None
    return None


def _output(command: list[str]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
