"""The folders that split and kfold write."""
