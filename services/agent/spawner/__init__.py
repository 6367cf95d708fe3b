"""The process that starts tasks and outlives the agent (RELIABILITY §1, Supervisor).

Standard library only, and nothing of ours but this package: it is started as `python -I -S` and stays lean.
"""
