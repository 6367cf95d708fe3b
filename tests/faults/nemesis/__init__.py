"""The nemesis: real processes under load while everything that can break is broken (RELIABILITY §3).

    make nemesis MINUTES=30                  every kind of fault, in turn and mixed
    make nemesis MINUTES=5 FAULTS=X1,X5      only these
    make nemesis SEED=4711 CYCLES=1          that cycle's schedule once more

A cycle: load begins, a few faults come and go, the load ends, everything accepted must reach the archive, and the
checker compares what floe says with what the tasks themselves wrote down. `world` is what is broken, `kinds` how,
`load` what happens meanwhile, `check` what must hold.
"""
