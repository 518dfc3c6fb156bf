"""The command line, for people who write no Python: ``gexcore COMMAND --help`` says what each command takes.

Every command reads and checks its files before it computes, and writes all of its output in one step, or nothing. What
is wrong is one line and the exit status 2; what a reader should know is a line that begins with ``note:``.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from ..tasks import CohortWarning
from . import benchmark, fetch, impute, predict, train
from .options import only_helps

_COMMANDS = (fetch, train, predict, impute, benchmark)
_INTERRUPTED = 130  # what a shell expects of a program that was stopped by Ctrl-C
_UNREAD = 141  # and of one whose output nobody reads any more
_OPTIONS = {  # how messages of the functions call what is an option here
    r"\b(genes_as_rows|log2)=True": r"--\1",
    r"\b(duplicate_genes|harmonise|min_coverage)=": r"--\1 ",
    r"\b(duplicate_genes|min_coverage)\b": r"--\1",
    r"is it a Regression\?": "is it for --numbers?",
    r" grid='quantile' copes with long tails": "",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {_one_line(message)}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what is wrong with its arguments or files is one line and the exit status 2.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after ``gexcore``; those of this process unless given.

    Returns
    -------
    int
        The exit status: 0, 130 after an interruption from the keyboard, 141 where the output is no longer read.

    Raises
    ------
    SystemExit
        Something is wrong (status 2), or only help was asked for (0).

    Examples
    --------
    >>> main(["benchmark", "--cohort", "demo", "--model", "oracle", "--out", "scores"])
    Traceback (most recent call last):
    SystemExit: 2
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = _Parser(prog="gexcore", description="Transformers for tumour transcriptomes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")
    for module in _COMMANDS:
        module.add(commands)
    parser.set_defaults(interrupted="nothing was written")
    options = parser.parse_args(arguments)
    options.written_as = shlex.join(["gexcore", *arguments])
    failure = commands.choices[options.name].error
    try:
        with _noted(aloud=not only_helps(options)) as options.notes:
            status = options.command(options)
            sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        print(f"gexcore {options.name}: interrupted, {options.interrupted}", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # who reads the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD
    except OSError as error:
        reason = error.strerror.lower() if error.strerror else str(error)
        failure(f"{error.filename}: {reason}" if error.filename and error.strerror else reason)
    except (ValueError, KeyError, TypeError, ImportError, ArithmeticError, RuntimeError) as error:
        failure(str(error.args[0] if isinstance(error, KeyError) else error))


@contextmanager
def _noted(*, aloud: bool) -> Iterator[list[str]]:
    """Warnings become lines on the error stream, each once, and entries of the list that is given.

    What libraries say to programmers is left out; a RuntimeWarning is of numbers that went wrong.
    """
    notes = []

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if issubclass(category, CohortWarning | RuntimeWarning) and (text := _one_line(message)) not in notes:
            notes.append(text)
            if aloud:
                print(f"note: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", CohortWarning)
        warnings.showwarning = show
        yield notes


def _one_line(message: object) -> str:
    text = " ".join(str(message).split())
    for written, option in _OPTIONS.items():
        text = re.sub(written, lambda found, option=option: found.expand(option).replace("_", "-"), text)
    return text
