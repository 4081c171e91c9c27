"""`python -m pipectl`, and where the exe begins."""

from pipectl.cli import cli

if __name__ == "__main__":
    cli(prog_name="pipectl")
