"""The device side of thorctl: ``thor-agent VERB``, standard library only (Python 3.10 or newer), one zipapp.

Contract: docs/interfaces.md "The device". States and files: DESIGN.md section 4.
"""
