"""Seconds and memory of one step in a process of its own, and the rate at which the machine multiplies matrices."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from gexcore.imputation import Meter


def alone(function, *arguments):
    """The result of a function in a process that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _least_seconds(step, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _measure(make, arguments, repeats, threads):
    torch.set_num_threads(threads)
    with Meter() as memory:
        step = make(*arguments)
        step()
        seconds = _least_seconds(step, repeats)
    return {"seconds": seconds, "peak_mb": memory.megabytes}


def measure(make, *arguments, repeats):
    """Of the step that ``make(*arguments)`` gives: least seconds of some repeats after one that warms up, and memory
    beyond what was there before."""
    return alone(_measure, make, arguments, repeats, torch.get_num_threads())


def _rate(dtype, threads):
    torch.set_num_threads(threads)
    a, b = (torch.randn(4096, 4096).to(dtype) for _ in range(2))
    return 2 * 4096**3 / _least_seconds(lambda: a @ b, 8) / 1e9


def rates():
    """Billions of operations a second in a product of two large matrices, by the type of their numbers."""
    types = ("float32", "bfloat16")
    return {dtype: alone(_rate, getattr(torch, dtype), torch.get_num_threads()) for dtype in types}
