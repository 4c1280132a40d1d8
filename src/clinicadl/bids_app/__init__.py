"""BIDS in, derivatives out: one command for each participant, one for all of them."""
