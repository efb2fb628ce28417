"""Data files of the package: the byte-pair ranks of o200k_base and their licence."""
