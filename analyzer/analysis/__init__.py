"""The analysis of one recording or stream, from samples to rows."""
