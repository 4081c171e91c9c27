"""Whether something is as it should be: what pipectl believes of Windows, asked of this system."""
