"""Benchmarks of text-to-image systems: prompt sets, systems, and what is measured of their images.

Belongs here: the file format of prompts, the protocol of systems, running and counting.
Does not belong here: judges and encoders (``ip2p_lightning.metrics``), opening models (``ip2p_lightning.jobs``).
"""
