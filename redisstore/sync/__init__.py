"""The store for threads: the operations by theme, their runner, and holds that renew themselves."""
