"""``python -m gexcore.simulate FOLDER``: write an embedded cohort again, or another with options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .breast import simulate_cohort
from .common import write_cohort
from .pancancer import simulate_pan_cancer


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw one cohort and write its files; options not given keep the defaults of the function that draws it."""
    parser = argparse.ArgumentParser(
        prog="python -m gexcore.simulate",
        description="Write a simulated cohort.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pan-cancer", action="store_true", default=False, help="six cancer types instead of one")
    parser.add_argument("--n-samples", type=int)
    parser.add_argument("--n-genes", type=int)
    parser.add_argument("--seed", type=int)
    options = vars(parser.parse_args(arguments))
    folder, simulate = options.pop("folder"), simulate_pan_cancer if options.pop("pan_cancer") else simulate_cohort
    write_cohort(simulate(**options), folder)


if __name__ == "__main__":
    main()
