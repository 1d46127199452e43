"""Tables of a study on MIPs.

comparison  every system: outlines, finding lesions, people with a lesion
details     Dice by cancer type, lesions by size, cost, what each system is
checks      the control with shuffled labels, other random seeds, fewer clicked patients
parts       cells that they share
"""
