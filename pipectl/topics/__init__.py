"""The pages that `pipectl help TOPIC` prints, written by scripts/gen_docs.py from the pages of docs/."""
