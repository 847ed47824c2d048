"""From records to tables, claims, figures and notebooks."""
