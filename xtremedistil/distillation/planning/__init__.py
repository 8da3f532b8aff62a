"""Reads and checks the flags of a distillation and makes a plan of them."""
