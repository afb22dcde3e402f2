"""`python -m ip2p_lightning <job>`: the same as `ip2p <job>`."""

import sys

from ip2p_lightning.cli import main

sys.exit(main())
