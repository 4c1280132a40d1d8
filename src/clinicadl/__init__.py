"""Train and judge deep networks on brain images, without data leakage."""
