"""What the user can decide: frozen, free of torch, without behaviour."""
