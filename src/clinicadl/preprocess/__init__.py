"""From the images of a BIDS data set to those of a CAPS."""
