"""Known cohorts, networks and gene sets: where each comes from, its units and its licence, and how it becomes data.

From the ground up: ``embedded`` what travels with the package; ``matrices``, ``clinical`` and ``parsed`` what parsers
share; ``xena``, ``scanb``, ``cbioportal`` and ``stringdb`` the parsers; ``registry`` what is said of a source;
``catalogue`` all of them; ``transfer`` one file over a network that breaks; ``fetch`` the files of a source, checked;
``cohorts`` a cohort by name; ``knowledge`` networks and gene sets; ``studies`` cohorts with their tasks.
"""

from .catalogue import SOURCES, list_sources
from .cohorts import load_cohort, load_tasks
from .embedded import data_path, load_truth
from .fetch import data_folder, fetch
from .knowledge import load_gene_sets, load_network
from .registry import File, Source
from .studies import Study, read_study, read_tasks

__all__ = [
    "SOURCES",
    "File",
    "Source",
    "Study",
    "data_folder",
    "data_path",
    "fetch",
    "list_sources",
    "load_cohort",
    "load_gene_sets",
    "load_network",
    "load_tasks",
    "load_truth",
    "read_study",
    "read_tasks",
]
