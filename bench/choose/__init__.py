"""Which method for these pictures? Several are tried within a time, from the cheapest on, and one is chosen."""
