"""async_tree, written anew: leaves that return at once, run by gather."""

from harness.tree import tree

WORKLOAD = tree("none", "plain")
