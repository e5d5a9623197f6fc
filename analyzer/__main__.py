"""Entry point of `python -m analyzer`, the same as the command `call-emotions`."""

from analyzer.commands.main import console

if __name__ == "__main__":
    console()
