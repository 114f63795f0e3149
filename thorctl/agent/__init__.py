"""The device side of thorctl: ``thor-agent VERB``, standard library only (Python 3.10 or newer), one zipapp.

Contract, states and files: docs/reference/interfaces.md "The device".
"""
