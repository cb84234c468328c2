"""Fork: a new workload's folder, written from a few answers, complete enough to pass every test as it is."""
