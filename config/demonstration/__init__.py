"""The demo: two real fleets on this machine, trained by the real processes, with data that arrives piece by piece."""
