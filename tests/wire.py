# SPDX-License-Identifier: MIT
"""What a test needs to say on godwit's connections. docs/protocol.md describes it."""

import struct


def message(kind, body=b"", length=None):
    """Without its seal. length: what its header says, if that is a lie."""
    return struct.pack("<IHH", len(body) if length is None else length, kind, 0) + body


def seal(data, number):
    """core/migration/seal.c"""
    mask = (1 << 64) - 1
    value = (number + 1) * 0x9e3779b97f4a7c15 & mask ^ len(data)
    whole = len(data) // 8 * 8
    for (word,) in struct.iter_unpack("<Q", data[:whole]):
        value = (value ^ word) * 0xff51afd7ed558ccd & mask
        value ^= value >> 32
    rest = int.from_bytes(data[whole:], "little")
    value = (value ^ rest) * 0xc4ceb9fe1a85ec53 & mask
    return struct.pack("<I", (value ^ value >> 32) & 0xffffffff)


def sealed(data, number=0):
    """With the seal of the how-manyth of its connection, from 0."""
    return data + seal(data, number)
