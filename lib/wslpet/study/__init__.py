"""The paper's comparison on anyone's cohort: `python -m wslpet study COHORT --out DIR`.

plan        how much each system may train; the small study and the full one
patients    a cohort's rows as the systems see them, projected and resampled once
system      the one interface: patients to learn from in, a finder of tumours out
systems     one file for each: its paper, what it is told, how it learns
runs        one system on one fold, kept whole on disk or not at all
study       all systems on all folds, in parallel, again from where it stopped
results     what was kept → Dice, intervals, tests, outcome
outcomes    treatment response and survival from what each system found
stability   features when the seed or the threshold moves
tables      tables 1 and 2 beside the paper's, Markdown and LaTeX
figures     box plots, ROC, Dice against annotations, patients from best to worst
report      all of it on one page
one_click   a folder of scans with expert masks: our click against thresholds (python -m wslpet.study.one_click)
"""
