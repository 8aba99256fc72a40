"""One machine: embedded PostgreSQL and Redis, the supervisor of `up`. Imported before settings; knows no app."""
