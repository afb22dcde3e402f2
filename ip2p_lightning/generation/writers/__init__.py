"""Writers of triples (`TripleWriter`): the world's grammar, language models of transformers, servers of such models.

A new writer is one file here and one YAML in conf/generation/writer. Formats and checks that writers share belong one
level up.
"""
