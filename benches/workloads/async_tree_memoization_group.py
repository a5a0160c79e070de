"""async_tree, written anew: leaves that look into a cache, run by task groups."""

from harness.tree import tree

WORKLOAD = tree("memoization", "TaskGroup")
