"""Those who watch a training and cannot change it."""
