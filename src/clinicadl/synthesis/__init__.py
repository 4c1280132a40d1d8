"""Images with a known truth."""
