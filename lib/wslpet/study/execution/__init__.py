"""Execution of a study's runs, each saved atomically; test-retest stability of features."""
