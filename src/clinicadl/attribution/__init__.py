"""What the outputs of trained networks rest on, as maps with their geometry."""
