"""What runs the workloads: one child process an arm, rounds interleaved, results as rows."""
