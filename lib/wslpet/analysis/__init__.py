"""Measures of a lesion (uptake, radiomics), agreement of masks, statistics, and outcome prediction."""
