"""Queries that both databases share, as functions on a Core connection; the adapter gives the transaction."""
