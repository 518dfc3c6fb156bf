"""Attention within gene sets and among them: the network against sums written out, the estimator end to end."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import gexcore as gx
from gexcore.attention import ExpressionTerm, PathwayEncoder, SetAttention
from gexcore.checkpoint import read_checkpoint, write_checkpoint

B, G, E, D, H = 3, 20, 12, 16, 4
MEMBERS = [[0, 3, 7], list(range(4, 15)), [19], [7, 3, 18, 2]]
TASKS = [gx.Survival("os", time="os_time", event="os_event"), gx.Regression("age")]
TINY = {"preset": "quick", "attention": "pathways", "n_heads": 2, "d_model": 8, "d_ff": 8, "max_epochs": 2}


def written_out(attention, strength, x, g, *, n_tokens=1):
    """The equations of SetAttention: patient by patient, token by token, head by head, gene by gene."""
    d, members = D // H, [genes for genes in MEMBERS for _ in range(n_tokens)]
    tokens, levels, maps = [], [], []
    for xs, gs in zip(attention.norm(x).expand(len(g), -1, -1), g, strict=True):
        for vector, genes in zip(attention.vectors, members, strict=True):
            heads, level = [], 0.0
            for h in range(H):
                rows = slice(h * d, (h + 1) * d)
                wq, wk, wv = (p.weight[rows] for p in (attention.query, attention.key, attention.value))
                score = [(wq @ vector) @ (wk @ xs[j]) / math.sqrt(2 * d) + strength[h] * gs[j] for j in genes]
                a = torch.stack(score).softmax(0)
                heads.append(sum(w * (wv @ xs[j]) for w, j in zip(a, genes, strict=True)))
                level = level + sum(w * gs[j] for w, j in zip(a, genes, strict=True)) / H
                maps.append(a)
            tokens.append(vector + attention.out.weight @ torch.cat(heads))
            levels.append(level)
    n = len(members)
    return torch.stack(tokens).view(len(g), n, E), torch.stack(levels).view(len(g), n), maps


@pytest.mark.parametrize("n_tokens", [1, 2])
@pytest.mark.parametrize("shared", [True, False])
def test_attention_within_sets_equals_its_equations(shared, n_tokens):
    attention, term = SetAttention(MEMBERS, E, D, H, n_tokens=n_tokens), ExpressionTerm(D, H)
    x, g = torch.randn(1 if shared else B, G, E), torch.randn(B, G)
    tokens, levels, maps = written_out(attention, term(), x, g, n_tokens=n_tokens)
    found, level = attention(x, g, term())
    torch.testing.assert_close(found, tokens, rtol=0, atol=1e-5)
    torch.testing.assert_close(level, levels, rtol=0, atol=1e-5)
    # written out: sample, token, head, gene; found: sample, head, then the genes of one token after the other
    n = len(MEMBERS) * n_tokens
    of_sample = [torch.cat([torch.stack(maps[(b * n + p) * H :][:H]) for p in range(n)], 1) for b in range(B)]
    torch.testing.assert_close(attention.weights(x, g, term()), torch.stack(of_sample), rtol=0, atol=1e-6)


def test_gradients_within_sets_equal_those_of_the_equations():
    attention, term = SetAttention(MEMBERS, E, D, H), ExpressionTerm(D, H)
    x, g = torch.randn(B, G, E, requires_grad=True), torch.randn(B, G, requires_grad=True)
    probe, level_probe = torch.randn(B, 4, E), torch.randn(B, 4)
    inputs = [x, g, *attention.parameters(), *term.parameters()]

    def gradient(tokens, levels, *_):
        return torch.autograd.grad((tokens * probe).sum() + (levels * level_probe).sum(), inputs)

    found, expected = gradient(*attention(x, g, term())), gradient(*written_out(attention, term(), x, g))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_dropout_within_sets_keeps_the_mean_and_leaves_expression_alone():
    attention, term = SetAttention(MEMBERS, E, D, H, dropout=0.3), ExpressionTerm(D, H)
    x, g = torch.randn(1, G, E), torch.randn(B, G)
    plain, level = attention.eval()(x, g, term())
    attention.train()
    drawn = [attention(x, g, term()) for _ in range(1000)]
    torch.testing.assert_close(torch.stack([t for t, _ in drawn]).mean(0), plain, rtol=0, atol=0.1)
    assert all(torch.equal(found, level) for _, found in drawn)


def test_scores_of_any_size_give_weights_that_sum_to_one():
    attention = SetAttention(MEMBERS, E, D, H)
    weights = attention.weights(torch.randn(1, G, E), 1e4 * torch.randn(B, G), torch.tensor([1.0, -1, 10, 0]))
    sums = torch.zeros(B, H, 4).index_add(2, attention.token, weights)
    torch.testing.assert_close(sums, torch.ones(B, H, 4))


def test_memory_follows_memberships_and_no_genes_by_sets_matrix_is_kept():
    n_genes, sets, sizes = 1000, [[i, i + 1] for i in range(999)], []

    def pack(t):
        sizes.append(t.numel())
        return t

    attention = SetAttention(sets, 4, 4, 1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        attention(torch.randn(1, n_genes, 4), torch.randn(1, n_genes), torch.ones(1))
    assert max(sizes) <= 4 * 2 * len(sets)  # genes times sets are 999,000


@pytest.mark.parametrize("settings", [{}, {"value_path": True}, {"n_tokens": 2}, {"norm_first": False}])
def test_the_order_of_genes_is_irrelevant_and_sets_keep_theirs(settings):
    order = torch.randperm(G)
    place = order.argsort().tolist()
    shape = {"n_layers": 2, "d_model": D, "n_heads": H, **settings}
    encoder = PathwayEncoder(G, MEMBERS, **shape).eval()
    moved = PathwayEncoder(G, [[place[j] for j in genes] for genes in MEMBERS], **shape).eval()
    moved.load_state_dict(encoder.state_dict())
    moved.genes.data = encoder.genes.data[order]
    g = torch.randn(B, G)
    torch.testing.assert_close(moved(g[:, order]), encoder(g), rtol=0, atol=1e-5)
    assert encoder(g).shape == (B, 4 * settings.get("n_tokens", 1), D)


def test_attention_among_tokens_is_that_of_the_flat_encoder_on_what_sets_give():
    encoder = PathwayEncoder(G, MEMBERS, n_layers=2, d_model=D, n_heads=H, value_path=True).eval()
    g, strength = torch.randn(B, G), encoder.term()
    x, level = encoder.sets(encoder._tokens(g), g, strength)
    expected = encoder.blocks[0].attention.weights(encoder.blocks[0].norms[0](x), level, strength)
    first, second = encoder.attention(g)
    torch.testing.assert_close(first, expected)
    for weights in (first, second):
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, 4))


# -------------------------------------------------------------------------------------------- estimator


@pytest.fixture(scope="module")
def simulated():
    return gx.simulate.simulate_cohort(n_samples=120, n_genes=80, seed=2)


@pytest.fixture(scope="module")
def parts(simulated):
    return gx.split(gx.read_cohort(simulated.expression, simulated.clinical), TASKS, seed=0)


@pytest.fixture(scope="module")
def sets(simulated):
    return {name: genes for name, genes in simulated.gene_sets.items() if not name.startswith("CHANCE")}


@pytest.fixture(scope="module")
def fitted(parts, sets):
    return gx.TxT(TASKS, gene_sets=sets, **TINY).fit(parts[0], parts[1])


def risks(model, part):
    return model.predict(part)["os"].risk.to_numpy()


def test_every_gene_has_a_place_and_tokens_carry_the_names_of_sets(fitted, sets, parts):
    names = fitted.attending()
    assert names[: len(sets)] == list(sets)
    assert {gene for genes in fitted.tokens_.values() for gene in genes} == set(parts[0].var_names)
    assert fitted.embed(parts[2]).shape[1] == len(names)  # the preset's pooling: one score per token


def test_a_gmt_file_gives_the_same_bits_as_the_mapping(fitted, parts, sets, tmp_path):
    lines = ["\t".join([name, "none", *genes, genes[0]]) for name, genes in sets.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines), encoding="utf-8")
    again = gx.TxT(TASKS, gene_sets=tmp_path / "sets.gmt", **TINY).fit(parts[0], parts[1])
    np.testing.assert_array_equal(risks(again, parts[2]), risks(fitted, parts[2]))


def test_a_gene_named_twice_in_a_set_counts_once(fitted, parts, sets):
    doubled = {name: [*genes, *genes[:2]] for name, genes in sets.items()}
    again = gx.TxT(TASKS, gene_sets=doubled, **TINY).fit(parts[0], parts[1])
    np.testing.assert_array_equal(risks(again, parts[2]), risks(fitted, parts[2]))


@pytest.mark.parametrize("settings", [{}, {"n_tokens": 2, "pooling": "flatten", "checkpointing": True}])
def test_a_saved_model_brings_its_sets_and_predicts_the_same_bits(parts, sets, tmp_path, settings):
    model = gx.TxT(TASKS, gene_sets=sets, **{**TINY, **settings}).fit(parts[0], parts[1])
    model.save(tmp_path / "m.safetensors")
    loaded = gx.TxT.load(tmp_path / "m.safetensors", device="cpu")
    np.testing.assert_array_equal(risks(loaded, parts[2]), risks(model, parts[2]))
    assert loaded.tokens_ == model.tokens_
    assert loaded.settings == model.settings


def test_gene_vectors_start_where_they_are_given_here_too(parts, sets):
    rng = np.random.default_rng(0)
    vectors = pd.DataFrame(rng.normal(size=(80, 5)), index=parts[0].var_names)
    still = {**TINY, "max_epochs": 1, "learning_rate": 1e-12}
    model = gx.TxT(TASKS, gene_sets=sets, gene_embedding=vectors, **still).fit(parts[0])
    np.testing.assert_allclose(model.module_.encoder.genes.detach(), vectors, rtol=1e-5)


def test_one_set_of_all_genes_is_enough(parts):
    model = gx.TxT(TASKS, gene_sets={"all": list(parts[0].var_names)}, **TINY).fit(parts[0], parts[1])
    assert model.attending() == ["all"]
    assert len(np.unique(risks(model, parts[2]))) > 1


def test_sets_the_cohort_knows_nothing_of_are_left_out_and_named(parts, sets, tmp_path):
    with pytest.warns(
        gx.CohortWarning, match="1 of 10 gene sets share no gene with the cohort and are left out, first"
    ):
        model = gx.TxT(TASKS, gene_sets={**sets, "STRANGE": ["x", "y"]}, **TINY).fit(parts[0])
    assert "STRANGE" not in model.tokens_
    model.save(tmp_path / "m.safetensors")
    gx.TxT.load(tmp_path / "m.safetensors")  # without a second warning


def test_gene_sets_that_cannot_be_meant_are_refused(parts, sets, tmp_path):
    with pytest.raises(ValueError, match="attention is 'pathways', and gene_sets are not given"):
        gx.TxT(TASKS, attention="pathways")
    with pytest.raises(ValueError, match="attention is 'full', and gene_sets are given"):
        gx.TxT(TASKS, gene_sets=sets)
    with pytest.raises(ValueError, match="gene_sets has 1 set without a gene, first EMPTY"):
        gx.TxT(TASKS, gene_sets={**sets, "EMPTY": []}, **TINY)
    with pytest.raises(ValueError, match="gene_sets has no set;"):
        gx.TxT(TASKS, gene_sets={}, **TINY)
    with pytest.raises(TypeError, match="'A' is not a name with a sequence of gene names"):
        gx.TxT(TASKS, gene_sets={"A": "TP53"}, **TINY)
    with pytest.raises(TypeError, match=r"a mapping of set to genes or the path of a .gmt file, not a list"):
        gx.TxT(TASKS, gene_sets=["TP53"], **TINY)
    with pytest.raises(FileNotFoundError, match="no such file"):
        gx.TxT(TASKS, gene_sets=tmp_path / "none.gmt", **TINY)
    with pytest.raises(ValueError, match="the 1 gene sets share no gene with the cohort: the sets hold x, y"):
        gx.TxT(TASKS, gene_sets={"STRANGE": ["x", "y"]}, **TINY).fit(parts[0])
    with pytest.raises(ValueError, match="attention must be one of full, linear, pathways, not 'sparse'"):
        gx.TxT(TASKS, attention="sparse")


# --------------------------------------------------------------------------------------- interpretation


def test_weights_within_sets_are_told_by_name_in_samples_and_in_their_mean(fitted, parts, sets):
    table = gx.interpret.attention_within_sets(fitted, parts[2])
    assert {name: list(part["gene"]) for name, part in table.groupby("token", sort=False)} == fitted.tokens_
    np.testing.assert_allclose(table.groupby("token")["weight"].sum(), 1, atol=1e-6)
    np.testing.assert_allclose(table.groupby("token")["even"].sum(), 1)
    each = gx.interpret.attention_within_sets(fitted, parts[2], by_sample=True)
    assert list(each["sample"].unique()) == list(parts[2].obs_names)
    by_gene = each.groupby(["token", "gene"], sort=False)["weight"]
    np.testing.assert_allclose(by_gene.mean(), table["weight"], atol=1e-9)
    np.testing.assert_allclose(by_gene.std(ddof=0), table["sd"], atol=1e-9)
    # One sample's weights, asked of the network.
    with torch.no_grad():
        expected = fitted.module_.encoder.within_sets(fitted.read(parts[2]))[4].mean(0)
    np.testing.assert_allclose(each[each["sample"] == parts[2].obs_names[4]]["weight"], expected, atol=1e-6)


def test_attention_is_read_among_tokens_by_their_names(fitted, parts):
    names = fitted.attending()
    received = gx.interpret.received_attention(fitted, parts[2])
    assert list(received.columns) == names
    np.testing.assert_allclose(received.sum(axis=1), 1, atol=1e-5)
    pairs = gx.interpret.pair_attention(fitted, parts[2], [(names[0], names[1])])
    with torch.no_grad():
        (weights,) = fitted.module_.encoder.attention(fitted.read(parts[2]))
    np.testing.assert_allclose(pairs[pairs["head"] == 2]["weight"], weights[:, 1, 0, 1], atol=1e-6)
    networks = gx.interpret.attention_networks(fitted, parts[2], threshold=0.0)
    assert list(networks.out_degree.columns) == names
    with pytest.raises(ValueError, match=r"or its gene sets where these attend .*; unknown: TP53"):
        gx.interpret.pair_attention(fitted, parts[2], [(names[0], "TP53")])


def test_what_asks_about_genes_works_as_on_any_model(fitted, parts):
    shares = gx.interpret.integrated_gradients(fitted, parts[2], "age", n_steps=256)
    assert list(shares.columns) == fitted.genes_
    mean = parts[2].copy()
    mean.X[:] = np.nan  # missing expression stands at the training mean, where the line begins
    difference = fitted.predict(parts[2])["age"].values - fitted.predict(mean)["age"].values
    np.testing.assert_allclose(shares.sum(axis=1), difference, atol=1e-2 * difference.abs().max())
    gene = fitted.genes_[5]
    effects = gx.interpret.perturb_genes(fitted, parts[2], genes=[gene], reference=parts[0])
    higher = parts[2].copy()
    higher.X[:, 5] += parts[0].X[:, 5].std()
    change = (fitted.predict(higher)["age"].values - fitted.predict(parts[2])["age"].values).mean()
    found = effects[(effects["task"] == "age") & (effects["direction"] == "up")]["effect"]
    np.testing.assert_allclose(found, change, rtol=1e-3, atol=1e-6)


def test_parts_can_be_switched_off_as_in_the_flat_model(fitted, parts):
    heads = gx.interpret.prune_heads(fitted, parts[2])
    assert set(heads["head"]) == {"none", "1", "2", "all"}
    silenced = gx.interpret.silence_expression(fitted, parts[2])
    age = silenced[(silenced["task"] == "os") & (silenced["metric"] == "c_index")].set_index("silenced")["value"]
    assert age["both"] == 0.5  # all patients are alike


def test_models_without_sets_have_no_attention_within_them(parts):
    flat = gx.TxT(TASKS, **{**TINY, "attention": "full"}).fit(parts[0])
    with pytest.raises(TypeError, match="a TxT without gene sets has no attention within them"):
        gx.interpret.attention_within_sets(flat, parts[2])


def test_a_planted_set_is_learned(simulated):
    # A number that is the activity of one module of nine, known of its genes together better than of each.
    z = (simulated.expression - simulated.expression.mean()) / simulated.expression.std()
    clinical = pd.DataFrame({"activity": z[simulated.gene_sets["IMMUNE"]].mean(axis=1)})
    task = gx.Regression("activity")
    train, val, test = gx.split(gx.read_cohort(simulated.expression, clinical), task, seed=0)
    sets = {name: genes for name, genes in simulated.gene_sets.items() if not name.startswith("CHANCE")}
    model = gx.TxT(task, preset="quick", attention="pathways", gene_sets=sets).fit(train, val)
    scores = gx.evaluate(model.predict(test), test, train=train).set_index("metric")["value"]
    assert scores["pcc"] > 0.8


def test_a_file_from_before_these_settings_is_read_with_their_defaults(parts, tmp_path):
    model = gx.TxT(TASKS, **{**TINY, "attention": "full"}).fit(parts[0])
    model.save(tmp_path / "new.safetensors")
    tensors, config = read_checkpoint(tmp_path / "new.safetensors", "TxT")
    for name in ("attention", "n_features", "n_tokens", "checkpointing"):
        del config["settings"][name]
    write_checkpoint(tmp_path / "old.safetensors", "TxT", tensors, config)
    loaded = gx.TxT.load(tmp_path / "old.safetensors", device="cpu")
    assert loaded.settings == model.settings
    np.testing.assert_array_equal(risks(loaded, parts[2]), risks(model, parts[2]))
