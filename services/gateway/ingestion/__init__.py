"""Documents on their way in: fetched, read, cleaned, cut into passages, embedded, encrypted, stored."""
