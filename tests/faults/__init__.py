"""The stores under faults: what a caller sees when the network, the server or the clock fails.

- `operations`: every operation of both stores, in one table that several tests go through;
- `snapshots`: what a namespace holds, in a form by which two runs can be compared.
"""
