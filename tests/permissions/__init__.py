"""Users with the permissions that docs/operations.md gives them: enough, and no more than that."""
