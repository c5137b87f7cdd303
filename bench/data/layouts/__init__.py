"""Pictures of one's own: folders, manifests, JSON listings, and where they lie."""
