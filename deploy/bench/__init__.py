"""`make bench`: the stack of `make run` in a data folder of its own, loaded and measured.

`python -m deploy.bench [scenario…]` runs the scenarios named, or all, and prints one JSON object on standard output;
what it is doing goes to standard error. Exit code 1: a message was lost or duplicated, or a scenario did not end.
"""
