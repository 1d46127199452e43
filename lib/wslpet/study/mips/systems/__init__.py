"""Systems of the comparison on MIPs.

case        what a system is given: whom to learn from, whom to predict, how long to learn
ours        learned from clicks or masks on site, and the shipped segmenter as it is
cams        networks with class activation maps: alone, as the paper has it, ours
fcn         a fully convolutional network on pseudo-masks from CAMs
unet        a U-Net on full masks
simple      thresholds, the atlas, a click with 41 % of the maximum
registry    all of them, in the order of the tables
"""
