"""The page of the form: one HTML file with its settings, style and program inside."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.metadata import version
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.gui import GuiConfig
from clinicadl.config.metrics import declared
from clinicadl.config.network import architectures
from clinicadl.config.task import TABLE as TASK_TABLE
from clinicadl.config.transforms import AUGMENTATIONS
from clinicadl.errors import UsageError
from clinicadl.gui.relevance import MODE, RULES
from clinicadl.layouts import files

_HOME = resources("clinicadl.gui")
_SCRIPTS = ("schema.js", "field.js", "form.js", "panel.js")
"""In the order in which they need each other."""


def write_form(config: GuiConfig) -> Path:
    """Write the form as one HTML file, for use without a server, and return the file.

    Parameters
    ----------
    config
        Whose ``export`` is the file.

    Raises
    ------
    UsageError
        No file is named.
    OutputError
        The file exists already, or cannot be written.
    """
    if config.export is None:
        raise UsageError("No file is named for the page", where="--export", fix="Give one")
    if not config.overwrite:
        files.refuse_existing(config.export)
    files.refuse_unwritable(config.export)
    files.write_text(config.export, page())
    return config.export


def page(
    *, token: str | None = None, file: str | None = None, values: dict[str, Any] | None = None
) -> str:
    """Return the page.

    Parameters
    ----------
    token
        What the server wants to see with each question; none where there is no server.
    file
        The file that Save writes, if there is one.
    values
        Settings that it begins with.
    """
    script, style = _script(), _text("form.css")
    facts = {**_facts(), "token": token, "file": file, "values": values}
    environment = Environment(loader=BaseLoader(), autoescape=True)
    return environment.from_string(_text("page.html.j2")).render(
        style=style,
        script=script,
        policy=policy(script, style, has_server=token is not None),
        has_server=token is not None,
        file=file,
        version=version("clinicadl"),
        # In a script nothing is escaped but what would end it.
        facts=json.dumps(facts, allow_nan=False).replace("<", "\\u003c"),
    )


def policy(script: str, style: str, *, has_server: bool) -> str:
    """Return the Content-Security-Policy of the page: its own script and style, and nothing else.

    Parameters
    ----------
    script, style
        As they stand in the page.
    has_server
        Whether it may ask its own server.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{_digest(script)}'",
            f"style-src 'sha256-{_digest(style)}'",
            "img-src data:",
            f"connect-src {chr(39)}{'self' if has_server else 'none'}{chr(39)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(name: str) -> str:
    return _HOME.joinpath(name).read_text(encoding="utf-8")


def _script() -> str:
    """Return the program: the vendored reader of TOML in a scope of its own, then ours."""
    vendored = _text("vendor/smol-toml/index.cjs")
    ours = "\n".join(_text(name) for name in _SCRIPTS)
    # A module of Node in a scope of its own: what it gives is TOML.
    scope = f"const TOML = (exports => {{\n{vendored}\nreturn exports;\n}})({{}});"
    return f'"use strict";\n{scope}\n{ours}'


def _facts() -> dict[str, Any]:
    """Return what the page is made from: the schema, and what no schema says."""
    return {
        "schema": ExperimentConfig.model_json_schema(),
        "rules": {path: rule._asdict() for path, rule in RULES.items()},
        "mode": MODE,
        "tasks": {
            name: {
                "kind": row.kind,
                "network": row.default_network,
                "metrics": ["loss", *row.metrics, *declared(row.kind)],
            }
            for name, row in TASK_TABLE.all_rows().items()
        },
        "networks": {
            # What learns from two kinds of images at once is for none of the tasks here.
            name: {
                "tasks": row.tasks if row.n_domains == 1 else (),
                "axes": row.axes,
                "example": row.example,
            }
            for name, row in architectures().items()
        },
        "volumes": [name for name, row in AUGMENTATIONS.items() if row.volumes_only],  # type: ignore[attr-defined]  # of Augmentation
    }
