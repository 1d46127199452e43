"""Cross-validated comparison of segmentation systems on a cohort: `wslpet study COHORT --out DIR` (paper §3, §4).

design      the training budget, the patients, the folds, the paper's own figures
systems     one file for each system: its reference, its supervision, its training
execution   runs (one system on one fold), resumable; stability of features
results     Dice, intervals, tests and outcome prediction from the runs; tables
report      figures and one HTML page
one_click   delineation of one click against thresholds, without a network (python -m wslpet.study.one_click)
"""
