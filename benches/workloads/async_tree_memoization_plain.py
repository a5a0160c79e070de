"""async_tree, written anew: leaves that look into a cache, run by gather."""

from harness.tree import tree

WORKLOAD = tree("memoization", "plain")
