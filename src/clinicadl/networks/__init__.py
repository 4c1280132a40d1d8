"""Architectures, their layers and their weights."""
