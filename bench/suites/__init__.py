"""Many runs: a suite expanded into cells, planned by predicted time, run by one or more runners."""
