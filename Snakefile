# The sweep: cohorts x models x seeds, each fit one job and one file, on a laptop or a cluster.
#
#   snakemake --cores 2 --config cohort=demo models=ridge-cox,mlp,null-model seeds=0,1,2
#   snakemake --executor slurm --jobs 50 --default-resources slurm_partition=NAME --configfile sweep.yaml
#
# Keys of --config and --configfile, all with a default; several are a list, or words between commas:
#   cohort   known cohorts; in a file also names with the options of `gexcore benchmark`, for cohorts of your own:
#            {demo: {}, mine: {expression: e.csv, clinical: c.csv, tasks: t.json}}
#   models   methods; `gexcore benchmark --help` lists them
#   seeds    splits
#   out      the folder; fits that stand in it are not made again
#   against  the model that the others are compared with, the last one unless said
#   options  more of `gexcore benchmark` for every job, such as "--preset paper"
#
# Broken off, the same command goes on. After a kill or a power cut, call it once with --unlock before.

import shlex
import sys


def words(key, default):
    given = config.get(key, default)
    return given if isinstance(given, (list, dict)) else str(given).replace(",", " ").split()


def options(wildcards):
    own = COHORTS[wildcards.cohort] if isinstance(COHORTS, dict) else {}
    given = [part for key, value in (own or {}).items() for part in (f"--{key}", str(value))]
    return shlex.join(given) + " " + config.get("options", "")


GEXCORE = f"{shlex.quote(sys.executable)} -m gexcore.cli"
COHORTS = words("cohort", "demo")
MODELS = words("models", "txt,txt-multitask,ridge-cox,null-model")
SEEDS = words("seeds", [*range(10)])
OUT = config.get("out", "sweep")
AGAINST = config.get("against", MODELS[-1])


rule all:
    input:
        f"{OUT}/scores.csv",


rule collect:
    input:
        expand(OUT + "/{cohort}/{model}/seed-{seed}.csv", cohort=COHORTS, model=MODELS, seed=SEEDS),
    output:
        f"{OUT}/scores.csv",
        f"{OUT}/differences.csv",
    localrule: True
    params:
        out=shlex.quote(OUT),
    shell:
        "{GEXCORE} collect {params.out} --against {AGAINST}"


rule fit:
    output:
        OUT + "/{cohort}/{model}/seed-{seed}.csv",
    wildcard_constraints:
        cohort=r"[\w.+-]+",
        model=r"[\w.+-]+",
        seed=r"\d+",
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,  # minutes
    params:
        out=shlex.quote(OUT),
        options=options,
    shell:
        "OMP_NUM_THREADS={threads} {GEXCORE} benchmark --cohort {wildcards.cohort} --model {wildcards.model} "
        "--seed {wildcards.seed} --out {params.out} {params.options}"
