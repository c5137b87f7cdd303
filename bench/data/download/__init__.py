"""Published files: where they lie, how they are fetched and checked."""
