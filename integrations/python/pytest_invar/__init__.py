"""The `benchmark` fixture of pytest: measured by simulation under `invar run`, by wall clock elsewhere."""

__version__ = "0.1.0"
