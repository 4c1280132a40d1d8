"""``python -m clinicadl`` is ``clinicadl``."""

from clinicadl.cli.main import run

if __name__ == "__main__":
    run()
