# SPDX-License-Identifier: MIT
"""Two hosts, a client and the links between them, on one machine; see lab/lab.py."""
