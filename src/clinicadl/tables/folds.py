"""scratch"""
from clinicadl.config.tables import KFoldConfig
from clinicadl.draws import generator
from clinicadl.layouts import splits
from clinicadl.layouts.splits import Parts
from clinicadl.tables import sessions


def kfold(config: KFoldConfig):
    table = sessions.read(config.data_tsv)
    base = sessions.baseline(table)
    people = list(generator(config.seed, "kfold").permutation(base[sessions.PARTICIPANT].tolist()))
    out = []
    for i in range(config.n_splits):
        test = set(people[i :: config.n_splits])
        inside = table[sessions.PARTICIPANT].isin(test)
        binside = base[sessions.PARTICIPANT].isin(test)
        out.append(Parts(table[~inside], base[~binside], base[binside], None))
    return splits.write_kfold(config.data_tsv.parent, out, config.subset_name, {}, n_splits=config.n_splits)
