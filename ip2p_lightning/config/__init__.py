"""Configurations: `compose` them, `build` what the user wrote, `instantiate_trusted` what came with a file.

What reads one job's configuration belongs to `jobs`.
"""

from ip2p_lightning.config.compose import build, compose, config_dir, config_name, plain, walk
from ip2p_lightning.config.parts import buildable, loads
from ip2p_lightning.config.stored import StoredConfigError, instantiate_trusted, read_stored_yaml
from ip2p_lightning.config.trust import Trust, TrustError

__all__ = [
    "StoredConfigError",
    "Trust",
    "TrustError",
    "build",
    "buildable",
    "compose",
    "config_dir",
    "config_name",
    "instantiate_trusted",
    "loads",
    "plain",
    "read_stored_yaml",
    "walk",
]
