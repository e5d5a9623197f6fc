"""Entry point of `python -m analyzer`, the same as the command `call-emotions`."""

from analyzer.cli import console

if __name__ == "__main__":
    console()
