"""What redisstore costs, measured on servers of its own: ``python -m benchmarks``.

From the ground up:

- `workload`: what a workload is, and what it gets to run with;
- `server_time`: how long the server itself worked, and quantiles;
- `sessions`, `copies.lua`: the sessions that the stores are filled with;
- `workloads`: one file for each thing that is measured;
- `machine`, `results`, `tables`: where it ran, what came out, and how that is shown;
- `runner`, `__main__`: everything in order, and the command line.

A number is the median over the repetitions of one run, with the smallest and the largest beside it.
Ratios are taken within one repetition, of things that were measured side by side.
"""
