"""Self-attention among genes, conditioned on their expression (``expression``), and the encoder made of it."""

from .encoder import EncoderBlock, ExpressionEncoder
from .expression import ExpressionAttention, ExpressionTerm

__all__ = ["EncoderBlock", "ExpressionAttention", "ExpressionEncoder", "ExpressionTerm"]
