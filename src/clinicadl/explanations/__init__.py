"""What each error, exit code and finding of the guard means: a page each, and their reader."""
