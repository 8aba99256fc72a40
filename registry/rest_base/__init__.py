"""What every REST module shares: tokens, input, pages, problems, idempotency, scope. Knows no resource."""
