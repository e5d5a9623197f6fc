"""`python -m analyzer` is the command `call-emotions`."""

from analyzer.cli import console

if __name__ == "__main__":
    console()
