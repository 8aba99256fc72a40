"""Reads versions side by side: those that answer a search, the newest of every model, and two against each other."""

from registry.comparison.newest import latest
from registry.comparison.pairs import Comparison, Dimension, FleetsDiffer, Pair, Score, compare
from registry.comparison.search import ANY, HIDDEN, SHOWN, Search, SearchInvalid, labelled, named, search

__all__ = [
    "ANY",
    "HIDDEN",
    "SHOWN",
    "Comparison",
    "Dimension",
    "FleetsDiffer",
    "Pair",
    "Score",
    "Search",
    "SearchInvalid",
    "compare",
    "labelled",
    "latest",
    "named",
    "search",
]
