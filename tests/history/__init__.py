"""A recorded history of replicas under kills, pauses and redeliveries, and what is read from it.

- `records`: what a replica notes of each call, before and after it, in a file that outlives it;
- `notes`: what a replica is given to do, and what it notes of it, for threads and tasks alike;
- `replica`: a gateway process: handles messages in turns until it knows that all are done;
- `driver`: starts the replicas, kills and pauses them, and collects what they noted;
- `checker`: pure functions that read a history and say what should not be in it;
- `sleeper`: a replica that is stopped in mid-turn, and then tries to write;
- `__main__`: a run by hand, ``python -m tests.history --operations 200000 --cluster``.
"""
