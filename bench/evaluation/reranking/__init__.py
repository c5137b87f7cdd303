"""Better rankings from vectors that are there already: optional stages between embedding and scoring."""
