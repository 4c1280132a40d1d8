"""The leakage guard: it decides and writes nothing."""
