"""``gexcore train``: from the files of a cohort to a model, its scores and a report."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd
from anndata import AnnData

from ..baselines import KNN, GeneMean, LinearModel, Null, RidgeCox
from ..cohort import read_cohort
from ..estimator import NeuralEstimator
from ..finetuning import FineTuned
from ..genes import select_genes
from ..gexbert import GexBERT
from ..imputation import hide
from ..interpret import gene_effects, integrated_gradients, perturb_genes
from ..network import node2vec, read_network
from ..report import Training, patient_table, pretraining_report, score_models, score_restoration, training_report
from ..splits import split
from ..tables import read_gene_sets
from ..tasks import CohortWarning, Prediction, SurvivalPrediction, Task, counted, first_ids
from ..txt import TxT
from .options import HIDDEN, add_reading, add_tasks, at_least, chosen_tasks, epochs, only_helps, read
from .output import check_output, record, write_folder

MODELS = {"txt": "TxT", "fine-tuned": "Fine-tuned GexBERT", "gexbert": "GexBERT"}
_PRESETS = ("quick", "paper")
_PRECISIONS = ("float32", "bfloat16")
_SAMPLES_ASKED = 100  # test patients whose genes are perturbed, at most

_FILES = """\
FOLDER will hold model.safetensors, report.html (start there), scores.csv, predictions.csv (a row per test patient),
genes.csv (what one step of a gene does to a prediction), history.csv and run.json. 70 % of the patients are for
training, 10 % say when to stop, 20 % are tested.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "train",
        help="train a model on your cohort, and report how well it predicts",
        description="Train a model on your cohort, and report how well it predicts.",
        epilog=_FILES,
    )
    parser.set_defaults(command=_train)
    add_reading(parser, clinical="the labels")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="a new folder for all that is written"
    )
    add_tasks(parser)
    how = parser.add_argument_group("the model")
    how.add_argument(
        "--model",
        default="txt",
        choices=MODELS,
        help="txt (default); fine-tuned: pretrained on expression first; gexbert: pretrained only, needs no task",
    )
    how.add_argument(
        "--preset", default="quick", choices=_PRESETS, help="quick: minutes (default); paper: as published"
    )
    how.add_argument("--seed", default=0, type=at_least(0), metavar="N", help="of the split and the model; default: 0")
    how.add_argument("--max-epochs", type=at_least(1), metavar="N", help="instead of those of the preset")
    how.add_argument(
        "--n-genes", default=1000, type=at_least(1), metavar="N", help="genes that vary most in training; default: 1000"
    )
    how.add_argument("--gene-sets", type=Path, metavar="FILE", help="only genes of these sets, .gmt")
    how.add_argument(
        "--shared-with",
        type=Path,
        metavar="FILE",
        help="only genes that this expression table has too, such as that of the hospital the model is for",
    )
    how.add_argument("--network", type=Path, metavar="FILE", help="edges between genes, as of STRING, for gene vectors")
    how.add_argument(
        "--perturb", default=50, type=at_least(1), metavar="N", help="genes to raise and lower; default: 50"
    )
    where = parser.add_argument_group("where it is trained")
    where.add_argument("--devices", default=1, type=at_least(1), metavar="N", help="GPUs, or processes; default: 1")
    where.add_argument("--num-nodes", default=1, type=at_least(1), metavar="M", help="machines; default: 1")
    where.add_argument("--strategy", default="ddp", metavar="NAME", help="ddp (default): the whole network on each")
    where.add_argument("--precision", default="float32", choices=_PRECISIONS, help="of products; default: float32")


def _train(options: argparse.Namespace) -> int:
    check_output(options.out)
    tasks = chosen_tasks(options)
    if options.model == "gexbert":
        return _pretrain(options, tasks)
    if not tasks:
        message = (
            "nothing is to be predicted: name columns with --survival, --classes or --numbers, or a file of --tasks"
        )
        raise ValueError(message)
    cohort = read(options)
    graph = None if options.network is None else read_network(options.network)
    cohort = _on_shared_genes(cohort, options)
    parts = dict(zip(("train", "val", "test"), split(cohort, tasks, seed=options.seed), strict=True))
    for task in tasks:
        task.fit(parts["train"].obs)  # refuses labels from which nothing can be learned
    parts = _on_chosen_genes(parts, options)
    train, test = parts["train"], parts["test"]
    model = _fitted(tasks, options, train, parts["val"], graph)
    if only_helps(options):
        return 0
    rivals = {"linear model": _linear_model(tasks, options.seed, train), "null model": Null(tasks).fit(train).predict}

    predicted = model.predict(test)
    name = MODELS[options.model]
    models = {name: predicted} | {rival: predict(test) for rival, predict in rivals.items()}
    scores = score_models(models, test, train=train, seed=options.seed)
    asked = test[:_SAMPLES_ASKED].copy()
    perturbed = _perturbed(model, tasks, train, asked, options.perturb)
    effects = gene_effects([perturbed])
    risks = {n: p.risk for n, p in model.predict(train).items() if isinstance(p, SurvivalPrediction)}
    counts = {f"{part}_samples": data.n_obs for part, data in parts.items()} | {"genes": train.n_vars}
    run = record(options, counts)
    cuts = {task: float(risk.median()) for task, risk in risks.items()}
    training = Training(name, tasks, parts, predicted, cuts, scores, effects, asked.n_obs, model.history_, run)
    labels = [column for task in tasks for column in task.columns]
    write_folder(
        options.out,
        tables={
            "scores.csv": scores.set_index("task"),
            "predictions.csv": test.obs[list(dict.fromkeys(labels))]
            .join(patient_table(predicted), lsuffix="_in_the_clinical_table")
            .rename_axis("sample"),
            "genes.csv": _gene_table(effects, perturbed),
            "history.csv": model.history_.set_index("epoch"),
        },
        texts={"report.html": training_report(training)},
        save={"model.safetensors": model.save},
        run=run,
    )
    print(f"wrote {options.out}: open {options.out / 'report.html'}")
    return 0


def _on_shared_genes(cohort: AnnData, options: argparse.Namespace) -> AnnData:
    """The cohort with the genes of another expression table, of which nothing but their names is used."""
    if options.shared_with is None:
        return cohort
    other = read_cohort(options.shared_with, duplicate_genes="first")
    shared = cohort.var_names.isin(other.var_names)
    which = f"{shared.sum()} of {counted(cohort.n_vars, 'gene', 'genes')} {'is' if shared.sum() == 1 else 'are'}"
    message = f"{which} in {options.shared_with} too; the others are not read"
    if not shared.any():
        message = (
            f"{options.expression} and {options.shared_with} share no gene: the first has "
            f"{first_ids(cohort.var_names)}, the second {first_ids(other.var_names)}; are both named by symbols?"
        )
        raise ValueError(message)
    warnings.warn(message, CohortWarning, stacklevel=2)
    return cohort[:, shared].copy()


def _on_chosen_genes(parts: dict[str, AnnData], options: argparse.Namespace) -> dict[str, AnnData]:
    """All parts with the genes that vary most among the training samples."""
    sets = None if options.gene_sets is None else read_gene_sets(options.gene_sets)
    genes = select_genes(parts["train"], n=options.n_genes, gene_sets=sets)
    return {name: part[:, genes].copy() for name, part in parts.items()}


def _linear_model(tasks: Sequence[Task], seed: int, train: AnnData) -> Callable[[AnnData], dict[str, Prediction]]:
    """The rival: a ridge Cox, a logistic or a ridge regression for each task; gives what predicts with it."""
    models = {t.name: (RidgeCox if t.kind == "survival" else LinearModel)(t, seed=seed).fit(train) for t in tasks}
    return lambda cohort: {name: model.predict(cohort)[name] for name, model in models.items()}


def _vectors(graph: nx.Graph | None, seed: int) -> pd.DataFrame | None:
    """Gene vectors of the network, if one is given."""
    return None if graph is None else node2vec(graph, seed=seed)[0]


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {"seed": options.seed, "precision": options.precision, **epochs(options)}


def _places(options: argparse.Namespace) -> dict[str, Any]:
    """Where a model is trained: keywords of ``fit``."""
    return {name: getattr(options, name) for name in ("devices", "num_nodes", "strategy")}


def _pretrained(options: argparse.Namespace, train: AnnData, val: AnnData, graph: nx.Graph | None) -> GexBERT:
    model = GexBERT(gene_prior=_vectors(graph, options.seed), preset=options.preset, **_settings(options))
    return model.fit(train, val, **_places(options))


def _fitted(
    tasks: Sequence[Task], options: argparse.Namespace, train: AnnData, val: AnnData, graph: nx.Graph | None
) -> NeuralEstimator:
    how = _settings(options)
    if options.model == "txt":
        model = TxT(tasks, gene_embedding=_vectors(graph, options.seed), preset=options.preset, **how)
    else:
        model = FineTuned(tasks, encoder=_pretrained(options, train, val, graph), **how)
    return model.fit(train, val, **_places(options))


def _perturbed(model: NeuralEstimator, tasks: Sequence[Task], train: AnnData, test: AnnData, n: int) -> pd.DataFrame:
    """What shifts of the genes do that weigh most in training predictions (of TxT), or that vary most."""
    genes = pd.Index(model.genes_)
    if isinstance(model, TxT):
        shares = [integrated_gradients(model, train[:16].copy(), task.name, n_steps=8).abs().mean() for task in tasks]
        weight = sum(share / max(share.sum(), 1e-30) for share in shares)
        genes = weight.sort_values(ascending=False, kind="stable").index
    return perturb_genes(model, test, genes=list(genes[:n]), reference=train)


def _gene_table(effects: pd.DataFrame, perturbed: pd.DataFrame) -> pd.DataFrame:
    """A row per effect, the largest of a task and class first: one step, up, down, and how many patients agree."""
    key = ["task", "output", "gene"]
    steps = perturbed.pivot(index=key, columns="direction", values="effect")[["up", "down"]]
    agree = perturbed[perturbed["direction"] == "up"].set_index(key)["same_sign"].rename("patients_alike")
    return effects.set_index(key)[["effect"]].join([steps, agree])


def _pretrain(options: argparse.Namespace, tasks: Sequence[Task]) -> int:
    """GexBERT alone: how genes go together, checked on cells hidden from the test samples."""
    if tasks or options.clinical is not None:
        message = "--model gexbert reads no label: leave out --clinical and the tasks, or choose --model fine-tuned"
        raise ValueError(message)
    cohort = read(options)
    graph = None if options.network is None else read_network(options.network)
    cohort = _on_shared_genes(cohort, options)
    parts = dict(zip(("train", "val", "test"), split(cohort, seed=options.seed), strict=True))
    parts = _on_chosen_genes(parts, options)
    train, test = parts["train"], parts["test"]
    model = _pretrained(options, train, parts["val"], graph)
    if only_helps(options):
        return 0
    shown, hidden = hide(test, rate=HIDDEN, seed=options.seed)
    rivals = {"nearest neighbours": KNN().fit(train), "gene mean": GeneMean().fit(train)}
    check = score_restoration({"GexBERT": model} | rivals, test, shown, hidden, train=train)
    counts = {part: data.n_obs for part, data in parts.items()}
    run = record(options, counts | {"genes": train.n_vars})
    write_folder(
        options.out,
        tables={"scores.csv": check.set_index("model"), "history.csv": model.history_.set_index("epoch")},
        texts={
            "report.html": pretraining_report(counts, check, int(hidden.to_numpy().sum()), model.history_, run),
        },
        save={"model.safetensors": model.save},
        run=run,
    )
    print(f"wrote {options.out}: open {options.out / 'report.html'}")
    return 0
