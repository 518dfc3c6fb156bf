"""Execute the notebooks: each ``NN_name.py`` (edited) becomes its twin ``NN_name.ipynb`` (produced, committed).

python notebooks/run.py                                  every notebook, default parameters, one per core
python notebooks/run.py 03 -p n_splits 3 -o elsewhere    one of them, another value, another folder
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import jupytext
import nbformat
import papermill
import yaml
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
    "language_info": {"name": "python"},
}


class RequestError(Exception):
    """The request cannot be met; nothing was run."""


def canonical(notebook: NotebookNode, name: str) -> NotebookNode:
    """Keep only what a rerun repeats, so that a changed file means a changed result."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{name}-{number:02d}"
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in ["tags"] if cell.metadata.get(key)}
        )
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    nbformat.validate(notebook)
    return notebook


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs with each stretch of printed text in one piece; where it breaks depends on how busy a machine is."""
    kept = []
    for output in outputs:
        both = [o.output_type == "stream" and o.name for o in (*kept[-1:], output)]
        if len(both) == 2 and both[0] and both[0] == both[1]:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def read_source(path: Path) -> NotebookNode:
    """The py:percent text at ``path`` as a notebook without outputs."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return canonical(notebook, path.stem)


def faults(notebook: NotebookNode) -> list[str]:
    """What makes an executed notebook unfit to be kept, one line each."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.source and not cell.execution_count:
            found.append(f"{cell.id} was not executed")
        for output in cell.outputs:
            shown = [
                text
                for kind, text in output.get("data", {}).items()
                if kind.startswith("text/")
            ]
            text = "".join([output.get("text", ""), output.get("evalue", ""), *shown])
            if output.output_type == "error" or output.get("name") == "stderr":
                found.append(f"{cell.id} wrote to stderr: {text.strip()}")
            elif f"{HERE.parent}{os.sep}" in text:
                found.append(f"{cell.id} shows a path of this machine: {text.strip()}")
    return found


def execute(source: Path, parameters: dict, folder: Path) -> None:
    """Run one source and put its notebook into ``folder``; when that fails, an older file stays as it was.

    One that is killed while it writes leaves a hidden draft, which the next run replaces.
    """
    target = folder / f"{source.stem}.ipynb"
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch, target.name)
        nbformat.write(read_source(source), draft)
        executed = papermill.execute_notebook(
            draft,
            draft,
            parameters,
            cwd=HERE,
            progress_bar=sys.stderr.isatty(),
            extra_arguments=[
                "--log-level=CRITICAL"
            ],  # no word about the transport between kernel and runner
        )
    notebook = canonical(executed, source.stem)
    if found := faults(notebook):
        raise RuntimeError("\n".join(found))
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with part.open("w", encoding="utf-8") as file:
        nbformat.write(notebook, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)


def attempt(source: Path, *how) -> tuple[str, float, str]:
    """Name of the notebook, the seconds it took, and what went wrong, if anything did."""
    start, failure = time.monotonic(), ""
    try:
        execute(source, *how)
    except (papermill.PapermillExecutionError, RuntimeError) as error:
        failure = str(error)
    return source.stem, time.monotonic() - start, failure


def end_with(parent: int) -> None:
    """Let this process not outlive its parent, which may be killed without a word; kernels do the same."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_all(sources: list[Path], *how) -> Iterator[tuple[str, float, str]]:
    """Attempt all sources, one per core, and tell of each when it is done."""
    if len(sources) == 1:
        yield attempt(sources[0], *how)
        return
    pool = ProcessPoolExecutor(
        min(os.cpu_count() or 1, 4), initializer=end_with, initargs=(os.getpid(),)
    )
    try:
        running = [pool.submit(attempt, source, *how) for source in sources]
        for done in as_completed(running):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure nothing new is begun


def choose(names: list[str]) -> list[Path]:
    """The sources whose name or number was given, all of them when none was."""
    sources = sorted(HERE.glob("[0-9][0-9]_*.py"))
    chosen = []
    for name in names:
        matching = [s for s in sources if s.stem.startswith(Path(name).stem)]
        if len(matching) != 1:
            message = f"{name!r} names {len(matching)} notebooks; there are {', '.join(s.stem for s in sources)}"
            raise RequestError(message)
        chosen += matching
    return chosen or sources


def check_parameters(source: Path, parameters: dict) -> None:
    """Papermill would pass over a parameter the notebook does not have."""
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch, "draft.ipynb")
        nbformat.write(read_source(source), draft)
        known = papermill.inspect_notebook(draft)
    if unknown := [name for name in parameters if name not in known]:
        message = f"{source.stem} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        raise RequestError(message)


def read_value(text: str) -> object:
    """``3``, ``1e-4``, ``True``, ``[1, 2]`` are Python values, anything else is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every notebook ran, 1 when one failed, 2 when the request was refused."""
    parser = argparse.ArgumentParser(
        prog="run.py", description="Execute notebooks with papermill."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NOTEBOOK",
        help="name or number, such as 02; all when left out",
    )
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter",
    )
    parser.add_argument("-f", type=Path, metavar="FILE", help="YAML file of parameters")
    parser.add_argument(
        "-o",
        type=Path,
        metavar="FOLDER",
        help="where the notebooks go; beside their sources if unset",
    )
    options = parser.parse_args(arguments)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = (
        "1"  # no word about frozen modules from the kernel's debugger
    )
    try:
        parameters = (
            yaml.safe_load(options.f.read_text()) if options.f else None
        ) or {}
        parameters |= {name: read_value(value) for name, value in options.p}
        if parameters and not options.o:
            message = "notebooks/ holds the runs at default parameters: say with -o FOLDER where this one goes"
            raise RequestError(message)
        sources = choose(options.names)
        for source in sources:
            check_parameters(source, parameters)
    except (RequestError, OSError, yaml.YAMLError) as refusal:
        print(f"run.py: {refusal}", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same bits however many cores
    for name, seconds, failure in run_all(sources, parameters, options.o or HERE):
        if failure:
            print(f"{name:<28} failed\n{failure}", file=sys.stderr)
            return 1
        print(f"{name:<28}{seconds:6.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
