"""Sets up this checkout so that Windows programs can run in it, and starts them.

Each file only imports those before it: steps, wine, packages, streams, strict_edits, strict. They only use the standard
library.
"""
