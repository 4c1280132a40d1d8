"""Trained models that go from one machine to another."""
