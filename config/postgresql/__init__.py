"""The database engine of the product: Django's for PostgreSQL, which asks a kept connection less before it uses it."""
