"""The licences a listing may name: SPDX ids with their names, and who must accept what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class License:
    """A licence. `requires_acceptance`: whoever installs must say yes to its text."""

    id: str
    name: str
    is_osi_approved: bool

    @property
    def requires_acceptance(self) -> bool:
        """Open-source licences grant; others must be agreed to."""
        return not self.is_osi_approved


_OPEN_SOURCE = {
    "Apache-2.0": "Apache License 2.0",
    "MIT": "MIT License",
    "BSD-2-Clause": "BSD 2-Clause License",
    "BSD-3-Clause": "BSD 3-Clause License",
    "ISC": "ISC License",
    "MPL-2.0": "Mozilla Public License 2.0",
    "GPL-2.0-only": "GNU General Public License v2.0",
    "GPL-3.0-only": "GNU General Public License v3.0",
    "LGPL-3.0-only": "GNU Lesser General Public License v3.0",
    "AGPL-3.0-only": "GNU Affero General Public License v3.0",
    "0BSD": "BSD Zero Clause License",
    "Unlicense": "The Unlicense",
}
_OTHERS = {
    "CC0-1.0": "Creative Commons Zero v1.0 Universal",
    "CC-BY-4.0": "Creative Commons Attribution 4.0 International",
    "Proprietary": "Proprietary",
}
LICENSES = {
    key: License(key, name, is_osi_approved=names is _OPEN_SOURCE)
    for names in (_OPEN_SOURCE, _OTHERS)
    for key, name in names.items()
}


def find(text: str) -> License | None:
    """The licence of an SPDX id, whatever its case."""
    wanted = text.strip().lower()
    return next((one for one in LICENSES.values() if one.id.lower() == wanted), None)
