"""Exact and fast fits of Prophet's model: the posterior of its Stan program, maximised by methods of its own. Pure.

`additive` and `gauss_newton` are the methods, `optimiser` chooses; `backend` puts them behind Prophet's own interface.
The mathematics is told in docs/decisions and in each module; nothing of this approximates.
"""
