# SPDX-License-Identifier: MIT
"""What the papers' files share: running godwit, tables, charts, claims and the page about them."""
