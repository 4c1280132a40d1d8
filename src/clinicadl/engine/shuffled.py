"""Labels that mean nothing: those of train, given to other participants."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from clinicadl import draws
from clinicadl.tables import sessions


def shuffled(table: pd.DataFrame, labels: Sequence[str], *, seed: int, split: int) -> pd.DataFrame:
    """Return a table in which each participant has the labels of another one, or by chance its own.

    The first session gets those of the first session of the other, and so on; further ones get
    those of the last. So the sessions of a participant belong together as before.

    Parameters
    ----------
    table
        Participants and labels.
    labels
        Columns that stay together.
    seed
        Of the experiment.
    split
        Its number: each is shuffled by itself.
    """
    people = sorted(set(table[sessions.PARTICIPANT]))
    order = draws.generator(seed, f"shuffled labels/{split}").permutation(len(people))
    giver = {who: people[other] for who, other in zip(people, order, strict=True)}
    of_people = table.groupby(sessions.PARTICIPANT)
    rows_of, places = of_people.indices, of_people.cumcount()
    givers = []
    for who, place in zip(table[sessions.PARTICIPANT], places, strict=True):
        theirs = rows_of[giver[who]]
        givers.append(theirs[min(place, len(theirs) - 1)])
    columns = [*labels]
    given = table[columns].iloc[givers].set_axis(table.index)
    return table.assign(**{name: given[name] for name in columns})
