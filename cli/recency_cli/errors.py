"""What the command line refuses, and the exit code of each. Other packages' errors are mapped in `outcome.py`.

CliError           1  it did not work, as the line says
├── UsageError     2  the command was called wrongly
├── ConfigError    2  a configuration file or variable is wrong
├── Unreachable    3  the gateway does not answer
└── NotReady       4  something that this needs is not there yet (no release, no data, a part not installed)
"""

from __future__ import annotations


class CliError(Exception):
    """Anything that ends a command with one readable line."""

    code = 1


class UsageError(CliError):
    """The command's arguments do not fit together."""

    code = 2


class ConfigError(CliError):
    """The configuration cannot be used as it is."""

    code = 2


class Unreachable(CliError):
    """Nobody answers at the address."""

    code = 3


class NotReady(CliError):
    """Something has to be made or installed first; the message says how."""

    code = 4
