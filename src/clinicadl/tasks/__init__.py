"""What is learnt: targets, losses, readings of the output, scores."""
