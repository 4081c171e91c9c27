"""Whether things are as they should be: diagnoses, measurements, and what pipectl assumes about Windows."""
