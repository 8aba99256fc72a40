"""A policy over very many models becomes due: how soon all of it is handed out, and whether anybody has to wait."""
