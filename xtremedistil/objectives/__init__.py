"""Terms as functions that a fit minimises."""
