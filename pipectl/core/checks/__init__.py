"""Diagnoses, audits, measurements, and checks of what pipectl assumes about Windows."""
