"""The network of GexBERT (Jiang and Hassanpour 2025): it reads a panel of genes and restores any others.

Tokens of the panel pass an encoder; a decoder asks for target genes and reads the encoded panel. What it says of a
target is the distribution of its normal score, from which the probabilities of levels and the expected value follow.
Shapes: B samples, G genes, N genes of a panel, T targets, D width, L levels, P axes of the linear path.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import torch
from torch import Tensor, nn

from .levels import expected_value, level_bounds
from .mixture import FactorMixture
from .training import TrainingSettings
from .transformer import Block, LevelEmbedding, ValueEmbedding


@dataclass(frozen=True, kw_only=True)
class GexBERTSettings(TrainingSettings):
    """Settings of GexBERT. The sources give no sizes, rates or losses: their defaults are assumed."""

    n_layers: int = 4  # of the encoder
    n_decoder_layers: int = 2  # which read the encoded genes
    n_heads: int = 8  # of the attention in every layer
    d_model: int = 256  # width of the tokens, and so of the gene vectors
    d_ff: int = 1024  # width of the feed-forward network in every layer
    dropout: float = 0.1  # of every sublayer's output
    n_levels: int = 64  # of every gene, equal shares of the training values
    value_encoder: str = "levels"  # expression is read as a learned vector of its level; or "continuous"
    summary: str = "token"  # a sample's vector: a token of its own, or the "mean" of the encoded genes
    restoration: str = "held_out"  # hidden genes are absent from the encoder; or "masked": there with a missing level
    panel: int = 512  # genes the encoder reads at most, of a sample and step
    n_targets: int = 512  # genes the decoder restores at most, of a sample and step
    mask_rates: tuple[float, float] = (0.1, 0.9)  # share of a sample's genes that is hidden: uniform between these
    small_panels: float = 0.0  # share of the steps that show few genes instead: 4 or more, uniform on a log scale
    loss: str = "value"  # squared error of the expected value; or "levels": minus log probability; "both"
    linear: str = "none"  # or "mixture": a closed-form restoration that the transformer refines
    n_components: int | None = None  # of the mixture; None: the number that restores held-out samples best
    n_factors: int | None = None  # of each component; None: likewise, 128 at most
    shrinkage: float = 0.1  # of covariances between genes
    n_folds: int = 5  # the transformer learns from restorations by mixtures fitted on other folds
    scaling_clip: float | None = 5.0  # values beyond this many standard deviations are cut
    fit_samples: int = 12_000  # training samples, drawn by chance, that scaling, levels, linear path and prior rest on
    buffer_samples: int = 4096  # of a cohort on disk: samples in memory at a time, which a batch is drawn from
    ranges: ClassVar[dict[str, tuple[type, float, float]]] = {
        **TrainingSettings.ranges,
        **dict.fromkeys(("n_heads", "d_model", "d_ff", "panel", "n_targets"), (Integral, 1, math.inf)),
        **dict.fromkeys(("n_layers", "n_decoder_layers"), (Integral, 0, math.inf)),
        **dict.fromkeys(("dropout", "shrinkage", "small_panels"), (Real, 0, 1.0000001)),
        **dict.fromkeys(("n_levels", "n_folds"), (Integral, 2, math.inf)),
        **dict.fromkeys(("fit_samples", "buffer_samples"), (Integral, 64, math.inf)),
        **dict.fromkeys(("n_components", "n_factors"), (Integral, 1, math.inf)),
    }
    choices: ClassVar[dict[str, tuple]] = {
        **TrainingSettings.choices,
        "value_encoder": ("levels", "continuous"),
        "summary": ("token", "mean"),
        "restoration": ("held_out", "masked"),
        "loss": ("value", "levels", "both"),
        "linear": ("none", "mixture"),
    }

    def __post_init__(self):
        super().__post_init__()
        if self.d_model % self.n_heads:
            message = f"d_model ({self.d_model}) must be divisible by n_heads ({self.n_heads})"
            raise ValueError(message)
        rates = self.mask_rates
        if len(rates) != 2 or not 0 < rates[0] <= rates[1] < 1:
            message = f"mask_rates are two shares, 0 < low <= high < 1, not {rates!r}"
            raise ValueError(message)


PRESETS: dict[str, dict] = {
    # The sources name the parts, not their sizes: these are of the order of published models of bulk expression.
    "paper": {
        "loss": "both",
        "learning_rate": 2e-4,
        "weight_decay": 0.01,
        "max_epochs": 200,
        "schedule": "cosine",
        "gradient_clip": 1.0,
    },
    # Minutes on two cores: a small transformer that refines a closed-form restoration.
    "quick": {
        "n_layers": 2,
        "n_decoder_layers": 1,
        "n_heads": 4,
        "d_model": 64,
        "d_ff": 128,
        "dropout": 0.0,
        "value_encoder": "continuous",
        "panel": 128,
        "n_targets": 256,
        "mask_rates": (0.1, 0.95),
        "small_panels": 0.2,
        "loss": "value",  # how sure it is, the linear path says
        "linear": "mixture",
        "n_folds": 3,
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "batch_size": 32,
        "max_epochs": 15,
        "patience": 5,
        "schedule": "cosine",
        "gradient_clip": 1.0,
        "averaging": 0.99,
    },
}


class Restorer(nn.Module):
    """Normal scores of a panel to the normal scores of any genes, as mean and standard deviation.

    Parameters
    ----------
    values : Tensor
        Mean value of every level of every gene, (G, L): what a level means.
    settings : GexBERTSettings
    prior : Tensor, optional
        Vectors (G, any width) of genes known beforehand; a learned map of them is added to the learned gene vectors.
    linear : FactorMixture, optional
        The linear path. The decoder is told what it restores, and learns what to add.
    """

    def __init__(
        self, values: Tensor, settings: GexBERTSettings, *, prior: Tensor | None, linear: FactorMixture | None
    ):
        super().__init__()
        s, (n_genes, n_levels) = settings, values.shape
        self.settings, self.linear = s, linear
        self.genes = nn.Parameter(torch.randn(n_genes, s.d_model) * 0.5)
        self.register_buffer("prior", prior)
        self.from_prior = None if prior is None else nn.Linear(prior.shape[1], s.d_model, bias=False)
        levels, continuous = LevelEmbedding(n_levels, s.d_model), ValueEmbedding(s.d_model)
        self.expression = levels if s.value_encoder == "levels" else continuous
        self.summary_token = nn.Parameter(torch.randn(s.d_model) * 0.5)
        self.encoder = nn.ModuleList(Block(s.d_model, s.n_heads, s.d_ff, s.dropout) for _ in range(s.n_layers))
        self.encoder_norm = nn.LayerNorm(s.d_model)
        self.decoder = nn.ModuleList(Block(s.d_model, s.n_heads, s.d_ff, s.dropout) for _ in range(s.n_decoder_layers))
        self.decoder_norm = nn.LayerNorm(s.d_model)
        self.state = nn.Sequential(nn.Linear(s.d_model, 4 * s.d_model), nn.GELU(), nn.Linear(4 * s.d_model, s.d_model))
        if linear is not None:
            self.profile = nn.Linear(linear.axes.shape[1], s.d_model)
            self.estimate = nn.Linear(2, s.d_model)
        self.readout = nn.Parameter(torch.zeros(n_genes, s.d_model))  # what the decoded vector means, gene by gene
        self.head = nn.Linear(s.d_model, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # at first the linear path alone speaks, or the training distribution
        self.register_buffer("order", torch.rand(n_genes))  # in which genes are read where they exceed the panel
        self.register_buffer("values", values)
        self.register_buffer("bounds", level_bounds(n_levels))

    def gene_vectors(self) -> Tensor:
        """Learned gene vectors with what the prior adds, (G, D)."""
        return self.genes if self.from_prior is None else self.genes + self.from_prior(self.prior)

    def tokens(self, genes: Tensor, score: Tensor, profile: Tensor | None) -> Tensor:
        """Genes (B, N) and their scores (B, N), NaN where missing, to the tokens of a panel, (B, 1 + N, D).

        The first token is the summary's; it begins with what the linear path makes of the sample, ``profile`` (B, P).
        """
        gene = self.gene_vectors()[genes]  # (B, N, D)
        first = self.summary_token.expand(len(genes), 1, -1)
        if profile is not None:
            first = first + self.profile(profile)[:, None]
        return torch.cat([first, gene + self.expression(score, gene)], dim=1)

    def encode(
        self, genes: Tensor, score: Tensor, padding: Tensor | None = None, profile: Tensor | None = None
    ) -> Tensor:
        """The encoded panel, (B, 1 + N, D); ``padding`` (B, N) is True where a sample has no gene."""
        x, padding = self.tokens(genes, score, profile), _with_summary(padding)
        for block in self.encoder:
            x = block(x, padding)
        return self.encoder_norm(x)

    def summarise(self, memory: Tensor, padding: Tensor | None = None) -> Tensor:
        """The vector of each sample, (B, D), from its encoded panel."""
        if self.settings.summary == "token":
            return memory[:, 0]
        if padding is None:
            return memory[:, 1:].mean(1)
        there = (~padding)[..., None].to(memory.dtype)
        return (memory[:, 1:] * there).sum(1) / there.sum(1).clamp(min=1)

    def decode(
        self,
        memory: Tensor,
        targets: Tensor,
        padding: Tensor | None = None,
        estimate: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the score of target genes, (B, T) each.

        Parameters
        ----------
        memory : Tensor
            The encoded panel, (B, 1 + N, D), with its ``padding`` (B, N).
        targets : Tensor
            Genes to restore, (B, T). They read the panel, not each other.
        estimate : tuple of Tensor, optional
            Mean and standard deviation that the linear path gives, (B, T) each.
        """
        gene = self.gene_vectors()[targets]  # (B, T, D)
        x = gene + self.expression(torch.full(targets.shape, math.nan, device=gene.device), gene)
        mean, sd = (torch.zeros(targets.shape, device=x.device), torch.ones(targets.shape, device=x.device))
        if estimate is not None:
            mean, sd = estimate
            x = x + self.expression(mean, gene) + self.estimate(torch.stack([mean, sd], -1))
        state = self.state(self.summarise(memory, padding))[:, None]  # (B, 1, D)
        x = x + state
        padding = _with_summary(padding)
        for block in self.decoder:
            x = block(x, padding, memory)
        x = self.decoder_norm(x)  # (B, T, D)
        shift, log_factor = self.head(x).float().unbind(-1)  # (B, T) each
        shift = shift + ((x + state) * self.readout[targets]).sum(-1).float()
        return mean + shift, sd * log_factor.clamp(-3, 3).exp()

    def expect(self, mean: Tensor, sd: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Expected value and its standard deviation, (B, T) each, of targets whose score has this mean and sd."""
        return expected_value(mean, sd, self.values[targets], self.bounds)

    def panels(self, score: Tensor, n: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Up to n panels that share the measured genes of scores (B, G) among them, as much as each may hold.

        Each is: genes (B, N), their scores (B, N), padding (B, N), and which samples it has genes of (B,). A sample
        without any gene is in the first one all the same.
        """
        known = ~score.isnan()
        genes, count = torch.where(known, self.order, math.inf).argsort(1), known.sum(1)  # (B, G), (B,)
        shown = score.gather(1, genes)
        for start in range(0, max(1, int(count.max())), self.settings.panel)[:n]:
            part = slice(start, min(start + self.settings.panel, max(1, int(count.max()))))
            padding = shown[:, part].isnan()
            yield genes[:, part], shown[:, part], padding, count > start if start else torch.ones_like(count).bool()

    def represent(self, score: Tensor, n_panels: int = 1, profile: Tensor | None = None) -> Tensor:
        """The vector of each sample from scores (B, G), NaN where missing: summary and profile, (B, D + P).

        A ``profile`` that is known already need not be computed.
        """
        if profile is None:
            profile = self.read(score, torch.zeros(len(score), 0, dtype=torch.long, device=score.device))[1]
        total, weight = 0.0, 0.0
        for genes, shown, padding, there in self.panels(score, n_panels):
            padding = padding if padding.any() else None
            summary = self.summarise(self.encode(genes, shown, padding, profile), padding)
            total, weight = total + summary * there[:, None], weight + there[:, None]
        summary = total / weight
        return summary if profile is None else torch.cat([summary, profile], 1)

    @torch.no_grad()
    def read(self, score: Tensor, targets: Tensor) -> tuple[tuple[Tensor, Tensor] | None, Tensor | None]:
        """What the linear path makes of scores (B, G): mean and sd of the targets (B, T), and a profile (B, P)."""
        if self.linear is None:
            return None, None
        with torch.autocast(score.device.type, enabled=False):
            mean, sd, profile = self.linear.read(score, targets)
        return (mean, sd), profile

    def restore(self, score: Tensor, targets: Tensor, n_panels: int = 1) -> tuple[Tensor, Tensor]:
        """Expected value and standard deviation of target genes (B, T) given scores (B, G), (B, T) each.

        Several panels are several opinions: their mean counts, and what they differ by is uncertainty too.
        """
        estimate, profile = self.read(score, targets)
        total = square = weight = 0.0
        for genes, shown, padding, there in self.panels(score, n_panels):
            padding = padding if padding.any() else None
            if self.settings.restoration == "held_out":
                mean, sd = self.decode(self.encode(genes, shown, padding, profile), targets, padding, estimate)
            else:
                measured = ~score.gather(1, targets).isnan()
                mean, sd = self._restore_masked(genes, shown, padding, targets, measured, estimate, profile)
            value, spread = self.expect(mean, sd, targets)
            there = there[:, None]
            total, square = total + value * there, square + (value**2 + spread**2) * there
            weight = weight + there
        value = total / weight
        return value, (square / weight - value**2).clamp(min=0).sqrt()

    def _restore_masked(
        self,
        genes: Tensor,
        shown: Tensor,
        padding: Tensor | None,
        targets: Tensor,
        measured: Tensor,
        estimate: tuple[Tensor, Tensor] | None,
        profile: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Targets not ``measured`` stand in the encoder too, with a missing level: as many at a time as in training."""
        parts = []
        for start in range(0, targets.shape[1], self.settings.n_targets):
            part = slice(start, start + self.settings.n_targets)
            asked = targets[:, part]
            panel = torch.cat([genes, asked], 1)
            blank = torch.full_like(asked, math.nan, dtype=shown.dtype)
            off = torch.cat([torch.zeros_like(shown).bool() if padding is None else padding, measured[:, part]], 1)
            memory = self.encode(panel, torch.cat([shown, blank], 1), off, profile)
            given = None if estimate is None else tuple(e[:, part] for e in estimate)
            parts.append(self.decode(memory, asked, off, given))
        return tuple(torch.cat(part, 1) for part in zip(*parts, strict=True))

    def attention(
        self, genes: Tensor, score: Tensor, padding: Tensor | None = None, profile: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Encoder attention layer by layer, each (B, H, 1 + N, 1 + N); row and column 0 are the summary's."""
        x, padding = self.tokens(genes, score, profile), _with_summary(padding)
        for block in self.encoder:
            yield block.weights(x, padding)
            x = block(x, padding)

    def received(self, score: Tensor, *, by_summary: bool) -> Tensor:
        """Share of encoder attention that each gene receives, (B, G) from scores (B, G); NaN where missing.

        The mean over layers, heads and the genes that attend, or the summary token alone.
        """
        ((genes, shown, padding, _),) = self.panels(score, 1)
        total = 0.0
        for weights in self.attention(genes, shown, padding, self.read(score, genes[:, :0])[1]):
            asking = weights[:, :, :1] if by_summary else weights[:, :, 1:] * ~padding[:, None, :, None]
            total = total + asking.mean(1).sum(1)[:, 1:]  # (B, N)
        total = total.masked_fill(padding, torch.nan)
        share = total / total.nansum(1, keepdim=True)
        return torch.full_like(score, torch.nan).scatter(1, genes, share)


def _with_summary(padding: Tensor | None) -> Tensor | None:
    """Padding (B, N) of genes as that of all tokens, (B, 1 + N)."""
    return None if padding is None else nn.functional.pad(padding, (1, 0), value=False)
