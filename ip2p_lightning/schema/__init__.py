"""The typed schema of every job's configuration: which keys there are, what each may be, and its name in the message.

Belongs here: kinds of values, the table of keys, checking a composed configuration, reading words of the command line
by it. Does not belong here: looking at the disk or the machine (`jobs.checks`), or anything heavy to import.
"""

from ip2p_lightning.schema.check import check
from ip2p_lightning.schema.words import as_written

__all__ = ["as_written", "check"]
