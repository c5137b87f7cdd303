"""Images from any source into one shape: uint8, decoded once, cut into train, query and gallery."""
