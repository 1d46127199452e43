"""All lesions of a scan: maps of the MIPs, back-projected candidates, the probability of each."""
