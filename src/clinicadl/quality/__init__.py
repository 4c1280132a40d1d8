"""Whether images are sound, before and after they are preprocessed."""
