"""async_tree, written anew: leaves that return at once, run by gather with eager tasks."""

from harness.tree import tree

WORKLOAD = tree("none", "eager")
