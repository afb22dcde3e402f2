"""Instruction-based image editing in PyTorch Lightning: from edit pairs to edited pictures.

Only the version lives here, so that `import ip2p_lightning` costs nothing; import parts by their full names.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ip2p-lightning")
except PackageNotFoundError:  # a source folder on the path, not installed
    __version__ = "0+unknown"
