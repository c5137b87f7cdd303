"""Which method to use, answered from the runs with evidence."""
