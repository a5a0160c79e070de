"""async_tree, written anew: leaves that return at once, run by task groups."""

from harness.tree import tree

WORKLOAD = tree("none", "TaskGroup")
