"""Small programs that tasks run: one process each, started with `python -I -S`, so the standard library only.

They read `spec.json` from the scratch directory, print lines for people, and leave `result.json` there. Nothing in
this package may import what needs an installed library.
"""
