"""Synthetic volumes that a generative method of a run draws."""

from medgen.generation.generation import Generation, Wish, generate
from medgen.generation.scales import Meaning, meaning_of

__all__ = ["Generation", "Meaning", "Wish", "generate", "meaning_of"]
