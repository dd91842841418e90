"""A recorded history of replicas under kills, pauses and redeliveries, and what is read from it.

- `records`: what a replica notes of each call, before and after it, in a file that outlives it;
- `replica`: a gateway process: handles messages in turns until it knows that all are done;
- `driver`: starts the replicas, kills and pauses them, and collects what they noted;
- `checker`: pure functions that read a history and say what should not be in it;
- `__main__`: a run by hand, ``python -m tests.history --operations 200000 --cluster``.
"""
