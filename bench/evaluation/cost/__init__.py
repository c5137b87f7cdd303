"""What a method costs: latency of every stage, FLOPs, memory."""
