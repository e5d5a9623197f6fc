"""The ledger and the result files."""
