"""The form of an experiment in a browser: made from its settings, answered by their model."""
