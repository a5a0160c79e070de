"""async_tree, written anew: leaves of which half compute and half wait, run by task groups."""

from harness.tree import tree

WORKLOAD = tree("cpu_io_mixed", "TaskGroup")
