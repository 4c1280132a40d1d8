"""Where things lie on disk: the only code that knows a folder structure."""
