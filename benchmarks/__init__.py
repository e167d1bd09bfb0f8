"""Benchmarks: whole processes measured in turn against floors and peers; see ``benchmarks/README.md``."""
