"""medgen: train, convert and evaluate translations of medical volumes. Research use only."""

__version__ = "0.1.0"
