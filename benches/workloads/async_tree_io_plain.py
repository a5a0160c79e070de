"""async_tree, written anew: leaves that wait, run by gather."""

from harness.tree import tree

WORKLOAD = tree("io", "plain")
