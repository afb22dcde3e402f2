"""Studies: named runs of `ip2p` jobs, done once, read back, and drawn as a figure with its table and what it shows.

What one figure of a paper needs belongs in `experiments/`; how a run trains or measures belongs in `jobs`.
"""

from ip2p_lightning.studies.run import Run
from ip2p_lightning.studies.study import Study
from ip2p_lightning.studies.table import Claim, Row, Table

__all__ = ["Claim", "Row", "Run", "Study", "Table"]
