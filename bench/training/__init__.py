"""The one training loop and what it trains: encoders, decoders, losses, batches, checkpoints."""
