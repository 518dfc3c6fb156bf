"""Self-attention among genes, conditioned on their expression (``expression``), compiled for CPUs (``fused``), or
approximated at a cost that grows with the genes and not with their square (``linear``); the encoder made of it, and the
one over sets of genes (``pathways``).
"""

from .encoder import EncoderBlock, ExpressionEncoder
from .expression import ExpressionAttention, ExpressionTerm
from .linear import LinearAttention
from .pathways import PathwayEncoder, SetAttention

__all__ = [
    "EncoderBlock",
    "ExpressionAttention",
    "ExpressionEncoder",
    "ExpressionTerm",
    "LinearAttention",
    "PathwayEncoder",
    "SetAttention",
]
