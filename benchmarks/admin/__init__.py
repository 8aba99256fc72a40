"""Every page of the admin beside a fleet of any size: how long it takes, how many queries, and whether it counts."""
