"""Tests of thorctl.inventory."""
