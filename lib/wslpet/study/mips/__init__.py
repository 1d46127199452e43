"""The comparison on a cohort of MIPs of real people, coronal view only: `wslpet study MIP_COHORT --out DIR`.

cohort      people in the frame of the body, folds, simulated clicks
systems     what each system learns from and what it says; cams, fcn, unet: their networks
judging     one person against the expert's mask
runs        one system on one fold, resumable
results     figures of each system, tests against ours
report      tables, failures by kind, curves, pictures of cases, the page
"""
