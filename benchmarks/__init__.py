"""What redisstore costs, measured on servers of its own: ``python -m benchmarks``.

From the ground up:

- `sessions`, `copies.lua`: the sessions that the stores are filled with;
- `workload`: what a workload is, and what it gets to run with;
- `server_time`, `server_memory`: what the server itself says that it used, and quantiles;
- `neighbour`, `without_python`: load by another process, and by the server's own program;
- `machine`, `results`: where it ran, and what came out;
- `alternatives`: what the store is compared with, one interface for all; `hermes_store` and
  `hermes_driver` run the gateway's own store in an environment of its own;
- `workloads`: one file for each thing that is measured;
- `targets`: what is asked of it;
- `cells`: how a figure is written;
- `summary`: whether it was met, and where the run lost;
- `svg`, `plots`, `tables`: how all that is shown;
- `runner`, `__main__`: everything in order, and the command line.

A number is the median over the repetitions of one run, with the smallest and the largest beside it.
Ratios are taken within one repetition, of things that were measured side by side.
"""
