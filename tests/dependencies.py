"""What is installed with the package, for what, under which licence; as a script it writes the table of the book.

``python tests/dependencies.py`` writes book/dependencies.csv, after a change of pyproject.toml or constraints.txt.
"""

from importlib.metadata import PackageNotFoundError, distribution, metadata, requires
from pathlib import Path

import pandas as pd
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TABLE = Path(__file__).parents[1] / "book" / "dependencies.csv"
EXTRAS = ("", "book", "peers", "test")  # what the two commands install; of several uses the first is named
_UNCLEAR = {  # where the package says it neither as an expression nor by a classifier
    "docutils": "Public Domain, BSD, PSF; one file GPL",
    "sphinx-mathjax-offline": "MIT",
}


def licence(name: str) -> str:
    """As the package itself says it."""
    about = metadata(name)
    classified = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    classified = [words for words in classified if words != "OSI Approved"]
    free = next(iter((about.get("License") or "").splitlines()), "")
    return _UNCLEAR.get(name) or about.get("License-Expression") or ", ".join(classified) or free


def needed(name: str, extra: str) -> set[str]:
    """Packages that a requirement of an extra brings on this machine, directly or not."""
    found, waiting = set(), [(name, extra)]
    seen = set()
    while waiting:
        package, option = waiting.pop()
        if (package, option) in seen:
            continue
        seen.add((package, option))
        for text in requires(package) or []:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": option}):
                child = canonicalize_name(one.name)
                try:
                    distribution(child)
                except PackageNotFoundError:  # not needed here, whatever its marker says
                    continue
                found.add(child)
                waiting += [(child, part) for part in (*one.extras, "")]
    return found


def table() -> pd.DataFrame:
    """package, version, licence, used for; every package once."""
    rows, known = [], {"gexcore"}
    for extra in EXTRAS:
        for name in sorted(needed("gexcore", extra) - known):
            rows.append((name, distribution(name).version.split("+")[0], licence(name), extra or "gexcore itself"))
            known.add(name)
    return pd.DataFrame(rows, columns=["package", "version", "licence", "used for"])


if __name__ == "__main__":
    table().to_csv(TABLE, index=False, lineterminator="\n")
