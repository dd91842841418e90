"""Real gateways, headless: published versions of hermes-agent, each in an environment of its own.

A guide to the house, from the ground up:

- `installations`: which versions there are to run against, and how they are installed;
- `web`: a small web server, on which the next two are built;
- `model`: `Model`, the stand-in for the language model; it can be held in the middle of an answer;
- `phone`: `Phone`, the stand-in for the messaging server, and `Chat`, a person who writes;
- `gateway`: `Gateway`, one gateway process with a home and a port of its own;
- `pair`: `Pair`, two gateways on one Redis that share a phone, a model and the transcripts;
- `differential`: random calls on the gateway's own store and on the plugin's, without a gateway.

Everything listens on the loopback address only. Homes are temporary directories; installations
are kept between runs.
"""
