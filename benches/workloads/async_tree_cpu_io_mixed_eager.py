"""async_tree, written anew: leaves of which half compute and half wait, run by gather with eager tasks."""

from harness.tree import tree

WORKLOAD = tree("cpu_io_mixed", "eager")
