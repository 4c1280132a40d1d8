"""One MAPS: the folder of one experiment, whose names are known here alone."""
