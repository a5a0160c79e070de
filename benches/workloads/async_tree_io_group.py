"""async_tree, written anew: leaves that wait, run by task groups."""

from harness.tree import tree

WORKLOAD = tree("io", "TaskGroup")
