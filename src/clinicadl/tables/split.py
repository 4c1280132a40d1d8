"""scratch"""
from clinicadl.config.tables import SplitConfig
from clinicadl.draws import generator
from clinicadl.layouts import splits
from clinicadl.layouts.splits import Parts
from clinicadl.tables import sessions


def split(config: SplitConfig):
    table = sessions.read(config.data_tsv)
    base = sessions.baseline(table)
    people = base[sessions.PARTICIPANT].tolist()
    test = set(generator(config.seed, "split").permutation(people)[: int(config.n_test)])
    inside = table[sessions.PARTICIPANT].isin(test)
    binside = base[sessions.PARTICIPANT].isin(test)
    return splits.write_split(config.data_tsv.parent, Parts(table[~inside], base[~binside], base[binside], None), config.subset_name, {"subset_name": config.subset_name})
