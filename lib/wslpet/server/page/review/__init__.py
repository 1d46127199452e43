"""Several readers of a patient: agreement, consensus, remarks."""
