"""async_tree, written anew: leaves that wait, run by gather with eager tasks."""

from harness.tree import tree

WORKLOAD = tree("io", "eager")
