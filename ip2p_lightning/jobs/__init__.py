"""Jobs of the command `ip2p <job>`: one file each, with `run(config)`; also help, messages and completion.

A job composes parts and reports; the work itself (losses, data, sampling, metrics) belongs in the parts.
"""
