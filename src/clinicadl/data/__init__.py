"""How samples reach the network."""
