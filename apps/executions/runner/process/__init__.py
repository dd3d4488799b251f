"""Steps in child processes of their own: forked warm, measured, limited, killable.

`pool` and `warm` are the worker's side, `zygote` the parent of the children, `child` and `remote`
are what runs in one, `confinement` the walls around them all.
"""
