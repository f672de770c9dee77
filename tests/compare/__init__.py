"""Tests of the comparison of two executors."""
