# %% [markdown]
# # Measure speed and memory
#
# **Question.** What does a training step of the paper's network cost, against the same equations written down as in a
# lecture, and how far is it from what the machine can do?
#
# **The paper reports** no times. Computational constraints, it says, limited it to a subset of the genes, and it asks for
# attention that is local or hierarchical {cite}`koo2025`.
#
# **Method.** A textbook implementation was written from the equations (`tests/benchmarks/textbook.py`): attention and
# its expression term are matrices of genes by genes, every task sends a backward pass through everything, and PCGrad
# works on all parameters in one long vector. It shares weights, heads and losses with the package, so that both compute
# the same, which a test holds. Both were then timed in one run on two cores, before all other work of the machine, each
# case in a process of its own, with `tests/benchmarks/test_speed.py`. This chapter shows why the package is faster, and
# reads what was kept.

# %% tags=["parameters"]
genes: str = "250 500 1000"  # numbers of genes whose memory is compared
batch: int = 2  # samples
recorded: str = "recorded"  # folder of the tables that tests/benchmarks wrote

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import display

import gexcore as gx
from gexcore.attention import ExpressionAttention, ExpressionTerm

gx.plots.use_theme()

# %% [markdown]
# ## One column instead of a matrix
#
# The term that expression adds to the score of genes $i$ and $j$ in head $h$ is, written out, a product of two
# projections of numbers, and so it is one number times both expressions, $c_h\, g_i\, g_j$. Put
# $c_h \sqrt{2d}\, g_i$ beside the query and $g_j$ beside the key, one column each, and plain attention with the scale
# $1 / \sqrt{2d}$ contains the term:
#
# $$ \frac{q_i \cdot k_j}{\sqrt{2d}} + c_h\, g_i\, g_j
#    = \frac{(q_i,\; c_h \sqrt{2d}\, g_i) \cdot (k_j,\; g_j)}{\sqrt{2d}} . $$
#
# Plain attention is what fused kernels compute tile by tile, without ever keeping a matrix of genes by genes. What one
# layer keeps for its backward pass, in megabytes, folded and written out:


# %%
def kept(attend, *inputs):
    """Megabytes that a computation keeps for its backward pass."""
    seen = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        attend(*inputs)
    return sum(storage.nbytes() for storage in seen.values()) / 1e6


torch.manual_seed(0)
attention, term = ExpressionAttention(64, 64, n_heads=4), ExpressionTerm(64, 4)


def written_out(x, g, strength):
    values = attention.value(x).unflatten(-1, (4, -1)).transpose(1, 2)
    heads = attention.weights(x, g, strength) @ values
    return attention.out(heads.transpose(1, 2).flatten(2))


memory, apart = {}, []
for n in map(int, genes.split()):
    inputs = (torch.randn(batch, n, 64), torch.randn(batch, n), term())
    memory[n] = {
        "folded": kept(attention, *inputs),
        "written out": kept(written_out, *inputs),
    }
    apart.append((attention(*inputs) - written_out(*inputs)).abs().max())
memory = pd.DataFrame(memory).T.rename_axis("genes")
assert max(apart) < 1e-4  # the two are the same function
memory.round(1)

# %% [markdown]
# ## A step at the size of the paper
#
# 1000 genes, eight layers, four heads of 16, five tasks, batches of 16, with the paper's dropout of 0.1. *Exact* is
# PCGrad on the parameters the tasks share, a backward pass per task; *fast* is PCGrad where the tasks meet, one pass in
# all ({doc}`05_combine_task_gradients`). Memory is what the process takes beyond the loaded libraries.

# %%
NAMES = {
    ("textbook", "pcgrad", "float32"): "textbook",
    ("step", "pcgrad", "float32"): "exact",
    ("step", "pcgrad", "bfloat16"): "exact, bfloat16",
    ("step", "pcgrad-fast", "float32"): "fast",
    ("step", "pcgrad-fast", "bfloat16"): "fast, bfloat16",
    ("step", "equal", "float32"): "no surgery",
}


def read(name):
    table = pd.read_csv(Path(recorded, f"{name}.csv"))
    key = table[["what", "form", "precision"]].apply(tuple, axis=1)
    return table.assign(implementation=key.map(NAMES))


steps = read("speed_step")


def against_textbook(rate):
    """With this dropout: seconds, gigabytes, and how many times less they are."""
    part = steps[(steps["dropout"] == rate) & ~steps["checkpointing"]]
    part = part.set_index("implementation")[["seconds", "peak_mb"]]
    part = part.loc[[name for name in NAMES.values() if name in part.index]]
    less = part.loc["textbook"] / part
    return pd.DataFrame(
        {
            "seconds": part["seconds"].round(2),
            "times faster": less["seconds"].round(1),
            "memory, GB": (part["peak_mb"] / 1000).round(2),
            "times less": less["peak_mb"].round(1),
        }
    )


against_textbook(0.1)

# %% [markdown]
# Without dropout the textbook has less to keep, and less is gained:

# %%
against_textbook(0.0)

# %% [markdown]
# Where it comes from:
#
# - **The kernel.** Attention runs in one pass over tiles, forward and backward, dropout included
#   (`gexcore/attention/fused.cpp`, compiled when it is first needed; where there is no C++ compiler torch's own kernel
#   serves). Under bfloat16, on processors with matrix units, these do its products (`fused_bf16.cpp`).
# - **The first layer.** Before it, gene vectors are the same for all patients: queries, keys and values are projected
#   once, not once for each patient.
# - **Surgery where the tasks meet.** Heads hold 99 % of the parameters and cannot conflict. They get their own gradient
#   and never enter a long vector.

# %% [markdown]
# ## What half the digits change
#
# `precision="bfloat16"` computes products with eight binary digits and adds them up with 24. Networks of the width above
# and two layers, trained in both ways on five divisions of `demo`; a third training in full precision, from another seed,
# says how much trainings differ that should not. Differences from `float32`, with intervals that allow for what the
# divisions share (NaN: no division differs):

# %%
precision = pd.read_csv(Path(recorded, "speed_precision.csv"))
compared = gx.comparison.differences(gx.comparison.headlines(precision), "float32")
assert (compared["verdict"] == "not decided").all()
compared = compared.set_index(["model", "task", "metric"])
compared[["mean", "difference", "low", "high"]].round(3)

# %% [markdown]
# ## Against size
#
# The same step with other numbers of genes, layers, samples and tasks. The textbook was not tried where its matrices would
# take more than the memory of this machine.

# %%
sizes = pd.concat([read("speed_sizes"), steps[steps["dropout"] == 0.1]])
sizes = sizes[~sizes["checkpointing"]]
base = {"genes": 1000, "layers": 8, "batch": 16, "tasks": 5}
sizes = sizes.groupby([*base, "implementation"], as_index=False)["seconds"].min()
shown = ["textbook", "exact, bfloat16", "fast, bfloat16"]
words = {"genes": "Genes", "layers": "Layers", "batch": "Samples in a batch"}
words |= {"tasks": "Tasks", "seconds": "Seconds of a step"}

figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.9), sharey=True)
for ax, what in zip(axes, base, strict=True):
    others = [name for name in base if name != what]
    part = sizes[(sizes[others] == pd.Series(base)[others]).all(axis=1)]
    order = pd.Categorical(part["implementation"], shown, ordered=True)
    part = part.assign(implementation=order).dropna(subset="implementation")
    part = part.sort_values("implementation").astype({"implementation": str})
    gx.plots.plot_costs(
        part, x=what, y="seconds", by="implementation", labels=words, ax=ax
    )
    if ax is not axes[0]:
        ax.set_ylabel("")
    if ax is not axes[-1]:
        ax.get_legend().remove()
plt.show()

# %% [markdown]
# ## Against the machine
#
# A processor has a rate at which it multiplies large matrices, and no program that is made of matrix products can be
# faster. The products of a forward pass through the encoder, counted (`GFLOP`), over the seconds that it took, as a
# share of that rate:

# %%
limits = pd.read_csv(Path(recorded, "speed_forward.csv"))
limits["of its own limit, %"] = (
    100 * limits["gflop"] / limits["seconds"] / limits["limit"]
)
limits["of the float32 limit, %"] = 100 * limits["of_float32_limit"]
columns = [
    "seconds",
    "gflop",
    "limit",
    "of the float32 limit, %",
    "of its own limit, %",
]
limits = limits.rename(columns={"form": "implementation"})
display(
    limits.set_index(["implementation", "precision"])[columns]
    .rename(columns={"gflop": "GFLOP", "limit": "limit, GFLOP/s"})
    .round(2)
)

# %% [markdown]
# What the rest goes to, in milliseconds of a pass on one core:

# %%
parts = pd.read_csv(Path(recorded, "speed_profile.csv"))
parts = parts.pivot(index="part", columns="precision", values="seconds")
(1000 * parts).sort_values("float32", ascending=False).round(0)

# %% [markdown]
# Attention takes most of it. With heads of 16, a pair of genes takes 33 multiplications with addition, and beside them
# about as many other instructions: some 15 for the exponential, and those for the largest score, the sum, and what is
# stored in between. A product of large matrices has none of these, so that float32 cannot come near its rate. In bfloat16
# the matrix units do the products, and what is left is the others. The share rises where heads are wider.

# %% [markdown]
# ## Pretraining and imputation
#
# GexBERT's attention has no term of its own and reads panels, here of 500 genes for 500 targets, at the paper preset's
# width of 256: most of its work lies in dense layers, which the textbook does as well as anyone. So there is less to gain
# from a kernel that writes no matrix. A step of pretraining, and the imputation of the missing half, 64 samples each, on
# one core:

# %%
gexbert = pd.read_csv(Path(recorded, "speed_gexbert.csv"))
gexbert["of its own limit, %"] = 100 * gexbert["of_limit"]
gexbert = gexbert.set_index(["what", "implementation", "precision"])
gexbert = gexbert.rename(columns={"peak_mb": "memory, MB", "gflop": "GFLOP"})
gexbert[["seconds", "memory, MB", "GFLOP", "of its own limit, %"]].round(2)

# %% [markdown]
# In bfloat16 the textbook takes little longer, but more memory. torch's attention for processors is slower with half the
# digits than with all, so the package leaves it in float32 and halves them in the dense layers alone.

# %% [markdown]
# ## torch.compile
#
# A compiler could join what stands between the products. On one core, seconds of a step as it is and compiled: for a TxT
# of 1000 genes, two layers and 16 samples and a small one (200 genes, one layer, 64 samples), both without dropout, and
# for a pretraining step of 16 samples.

# %%
compiled = pd.read_csv(Path(recorded, "speed_compile.csv"))
compiled = compiled.pivot(
    index=["network", "precision"], columns="compiled", values="seconds"
)
compiled = compiled.rename(columns={False: "as it is", True: "compiled"})
compiled["times slower"] = compiled["compiled"] / compiled["as it is"]
assert (compiled["times slower"] > 0.9).all()  # nothing to be won
compiled.round(2)

# %% [markdown]
# So nothing here is compiled by itself. A compiler cannot look into the kernel above, which is why torch's own takes its
# place in a compiled TxT; and it is a minute or so before the first step. What a compiled GexBERT saves is a quarter of
# the memory.

# %% [markdown]
# ## Reading attention
#
# To read attention the weights have to be written out after all, layer by layer and a chunk of patients at a time, and
# are summed as they come ({doc}`13_read_attention`). Memory does not grow with the cohort. On one core, for the paper's
# network on 1000 genes, beside the seconds in which the same network predicts the same patients:

# %%
reading = pd.read_csv(Path(recorded, "reading_attention.csv")).set_index("patients")
display(
    pd.DataFrame(
        {
            "seconds": reading["seconds"].round(0),
            "patients a second": (reading.index / reading["seconds"]).round(1),
            "seconds of predicting": reading["seconds_predicting"].round(0),
            "times predicting": (
                reading["seconds"] / reading["seconds_predicting"]
            ).round(1),
            "memory of the process, MB": reading["peak_mb"].round(0),
        }
    )
)
few, many = reading["peak_mb"].iloc[[0, -1]]
assert many < 1.1 * few  # of ten times the patients

# %% [markdown]
# ## Twenty thousand genes
#
# One step of the published network, flattened heads and all, on as many genes as a genome has: fast PCGrad, bfloat16,
# blocks computed anew in the backward pass (`checkpointing=True`), four patients.

# %%
whole = read("speed_20000").iloc[0]
print(
    f"{whole['genes']:,.0f} genes: {whole['seconds']:.0f} s, {whole['peak_mb'] / 1000:.1f} GB"
)

# %% [markdown]
# ## A cohort on disk
#
# GexBERT pretrained on 14,000 of 20,000 samples of 5000 genes, a file of 400 MB, held in memory or left on disk
# ({doc}`../large_cohorts`). The network is the smallest that there is, so that its steps leave the reader the least
# time; seconds are those of a processor, for 1000 samples.

# %%
disk = pd.read_csv(Path(recorded, "large_cohort.csv")).set_index("where")
names = {"MB": "memory at its peak, MB", "opening, s": "opening, s"}
names |= {"steps": "steps, s", "reader": "reader, s", "waiting": "share of waiting"}
disk[list(names)].rename(columns=names).T.round(2)

# %% [markdown]
# With a processor of its own, the reader keeps ahead of any network on a CPU. On a GPU, where steps are short, it may not:
# then fewer genes, or a larger network, keep the device busy.

# %% [markdown]
# ## What was found
#
# - The equations, arranged well, need no matrix of genes by genes, and a step takes a small part of the time and memory
#   of the textbook's: at the size of the paper about a tenth with exact PCGrad and a thirtieth with the fast form, in
#   bfloat16, whose scores are those of float32.
# - Most of what is left is the attention's backward pass, once per task in the exact form. The fast form has one in all
#   and scored like the exact one ({doc}`05_combine_task_gradients`).
# - Reading attention takes about three times as long as predicting, and no more memory for more patients.
# - GexBERT gains less, since it had less to lose.
# - **What to doubt.** One machine, two cores, and a processor with matrix units; on others bfloat16 gains less or
#   nothing. A textbook implementation is what its author makes it. This one was not made slow on purpose, and not made
#   fast either. In float32 alone, the package is 7 and 19 times faster, not 11 and 32.
