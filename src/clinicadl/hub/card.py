"""The model card of shared models, and what `hub show` says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clinicadl.config.read import to_toml
from clinicadl.engine.pulled import plain, said, years
from clinicadl.layouts.maps.shared import NOT_SHARED, Score, Shared
from clinicadl.tasks.base import IMAGE, LOSS

_MOST_METRICS = 6
_TASKS = {
    "classification": "tell classes apart",
    "regression": "tell a number",
    "reconstruction": "give back an image",
}


def card(shared: Shared) -> str:
    """Return the model card, as Markdown with the front matter of the Hugging Face hub."""
    return "\n".join(_card(shared)) + "\n"


def page(shared: Shared, source: str, digest: str) -> str:
    """Return what shared models say of themselves, as text.

    Parameters
    ----------
    shared
        What they say.
    source
        Where they lie.
    digest
        SHA-256 of the description.
    """
    return "\n".join(_page(shared, source, digest)) + "\n"


def _card(shared: Shared) -> Iterator[str]:
    config = shared.record.config
    yield from ("---", "language: en", "library_name: clinicadl")
    if shared.licence:
        yield f'license: "{shared.licence.replace(chr(34), "")}"'
    yield from ("tags:", "- clinicadl", "- medical-imaging", f"- {config.task.name}", "---", "")
    yield f"# {config.network.name}, {config.task.name}"
    yield from ("", "## What for", "", shared.about or _what_for(shared), "")
    yield "For research. It is no medical device, and no diagnosis follows from what it says."
    yield from ("", "## On whom it was trained", "", f"{said(shared.seen)}.", "")
    yield from _images(shared)
    yield from ("", "## How well it does", "")
    yield from _results(shared)
    yield from ("", "## Limits", "", *(f"- {line}" for line in _limits(shared)))
    yield from ("", "## Who may have been in its training", "")
    yield (
        "Nobody is named. Those who were seen are here as slow salted hashes, so that `clinicadl "
        "predict` refuses to evaluate the models on them, also under another spelling of their "
        "ids. Whoever has a list of ids can ask it whether each was seen."
    )
    yield from ("", "## How to use it", "", "```text", "clinicadl hub pull THIS maps")
    yield from ("clinicadl predict maps mine --image sub-1_ses-M000_T1w.nii.gz", "```")
    yield from ("", "## How to repeat it", "", *_repeat(shared))


def _what_for(shared: Shared) -> str:
    config = shared.record.config
    labels = ", ".join(plain(one) for one in config.task.labels)
    of = f" ({labels})" if labels else ""
    return f"To {_TASKS.get(config.task.name, config.task.name)}{of} from brain images."


def _images(shared: Shared) -> Iterator[str]:
    record = shared.record
    for number, content in enumerate(record.extractions):
        name, mode = (
            plain(str(content.get(key, other)))
            for key, other in (("preprocessing", "not known"), ("mode", IMAGE))
        )
        yield f"- Channel {number}: preprocessing `{name}`, mode `{mode}`"
    yield f"- A sample: {' x '.join(map(str, record.input_shape))}, channels first"
    grid = record.image_grid
    if grid is not None:
        size = (
            ""
            if grid.voxel_size is None
            else f", voxels of {' x '.join(f'{one:g}' for one in grid.voxel_size)} mm"
        )
        yield f"- An image: {' x '.join(map(str, grid.shape[1:]))}{size}"
    transforms = record.config.transforms
    how = transforms.normalization.name if transforms.normalize else "as they are"
    yield f"- Intensities: {how}"


def _results(shared: Shared) -> Iterator[str]:
    rows = [
        (f"split {model.split}, best by {model.metric}", group, some)
        for model in shared.models
        for group, some in _by_group(model.scores).items()
    ]
    if not rows:
        yield "No results are told."
        return
    metrics = list(dict.fromkeys(one.metric for _, _, some in rows for one in some))
    # The selection metric of each model counts, and the loss.
    shown = [*metrics[:_MOST_METRICS], *({LOSS} & {*metrics[_MOST_METRICS:]})]
    yield f"| model | data group | participants | {' | '.join(map(plain, shown))} |"
    yield f"|---|---|---|{'---|' * len(shown)}"
    for name, group, some in rows:
        of = {one.metric: _shown(one) for one in some}
        cells = " | ".join(of.get(metric, "") for metric in shown)
        yield f"| {name} | {plain(group)} | {some[0].n_participants} | {cells} |"
    yield ""
    yield "With 95 % intervals over participants. `validation` chose the models, and flatters them."


def _by_group(scores: Sequence[Score]) -> dict[str, list[Score]]:
    found: dict[str, list[Score]] = {}
    for one in scores:
        found.setdefault(one.group, []).append(one)
    return found


def _shown(score: Score) -> str:
    if score.value is None:
        return "n/a"
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _limits(shared: Shared) -> Iterator[str]:
    seen, record = shared.seen, shared.record
    tested = {one.group for model in shared.models for one in model.scores} - {"validation"}
    if not tested:
        yield "It was evaluated on no group but the validation that chose it."
    if seen.ages is not None:
        yield f"Nobody outside of {years(seen.ages)} years was seen."
    else:
        yield "How old those were whom it has seen is not told."
    if len(seen.sexes) == 1:
        yield "Nearly all of those whom it has seen are of one sex."
    if seen.n_participants < 100:
        yield f"It has seen {seen.n_participants} participants, which is few."
    if shared.domain is None:
        yield "What its images are like is not told: an image of another kind is not refused."
    else:
        yield (
            f"An image unlike the {shared.domain.n_images} that it was fitted on is refused: by "
            "its grid, the name of its modality, its intensities and its coarse likeness."
        )
    for finding in record.guard:
        sentence = plain(str(finding.get("sentence", "")))
        yield f"The leakage guard found before training: {sentence}."
    if record.parents:
        yield "Its first weights come from another training, whose participants count as seen."
    if record.config.data.shuffle_labels:
        yield "Its labels were shuffled: what it says means nothing."


def _repeat(shared: Shared) -> Iterator[str]:
    record = shared.record
    made = ", ".join(f"{name} {version}" for name, version in record.generated_by.items())
    yield f"Trained {record.created} with {made}. With `{NOT_SHARED}` replaced by your places:"
    yield from ("", "```toml", to_toml(record.config).rstrip(), "```", "", "```text")
    yield from (
        "clinicadl train from-toml FILE MAPS"
        if False
        else "clinicadl train classification CAPS JSON TSV_DIRECTORY MAPS --config_file FILE",
        "```",
    )


def _page(shared: Shared, source: str, digest: str) -> Iterator[str]:
    config, seen = shared.record.config, shared.hidden[0]
    n_bytes = sum(one.n_bytes for one in shared.files.values())
    yield f"Shared models at {source}"
    yield f"  description {digest}"
    if shared.about:
        yield f"  {plain(shared.about)}"
    licence = plain(shared.licence) or "not named"
    yield f"  {config.network.name}, {config.task.name}; licence {licence}"
    yield f"  {len(shared.files)} files, {n_bytes / 1e6:.1f} MB"
    yield from ("", "On whom they were trained", f"  {said(shared.seen)}")
    n_hashes = len(seen.seen.keys), len(seen.images)
    yield f"  {n_hashes[0]} participants and {n_hashes[1]} images as hashes"
    yield from ("", "Images", *(f"  {line.removeprefix('- ')}" for line in _images(shared)))
    known = "not told" if shared.domain is None else f"as {shared.domain.n_images} images were"
    yield f"  Intensities and coarse likeness: {known}"
    yield from ("", "Models")
    for model in shared.models:
        n = f", {len(model.networks)} networks" if len(model.networks) > 1 else ""
        yield f"  split {model.split}, best by {model.metric}{n}"
        for group, some in _by_group(model.scores).items():
            shown = ", ".join(f"{plain(one.metric)} {_shown(one)}" for one in some[:_MOST_METRICS])
            yield f"    {plain(group)}: {some[0].n_participants} participants, {shown}"
    yield from ("", "Limits", *(f"  {line}" for line in _limits(shared)))
