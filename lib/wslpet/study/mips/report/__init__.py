"""The report of a study on MIPs: tables, failures by kind, figures of curves, pictures of cases, one page."""
