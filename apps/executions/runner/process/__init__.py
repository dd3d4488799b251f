"""Steps in child processes of their own: forked warm, measured, limited, killable.

`pool` is the worker's side, `zygote` the parent of the children, `child` what runs in one of them.
"""
