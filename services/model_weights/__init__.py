"""Model weights: what may enter, the signed list of what did, and the check before every start."""
