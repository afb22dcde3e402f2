"""What `ip2p <job>` runs: one file a job, each with `run(config)`, beside the help, the messages and the completion.

A job composes parts and reports; the work itself (losses, data, sampling, metrics) belongs in the parts.
"""
