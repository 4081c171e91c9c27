"""`python -m pipectl`, and where the exe begins."""

from pipectl.cli import main

if __name__ == "__main__":
    main()
