"""Searches for hyperparameters and architectures."""
