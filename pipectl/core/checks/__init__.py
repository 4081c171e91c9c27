"""Whether things are as they should be: diagnoses, and what pipectl assumes about Windows."""
