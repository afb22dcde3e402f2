"""Studies with people as a server: a folder of blind items, the raters' answers in SQLite, and the page.

Belongs here: making the folder, storing answers, serving both. `making` alone imports more than the standard library
and FastAPI, so that a server starts at once.
Does not belong here: what the answers say (``ip2p_lightning.evaluation``).
"""
