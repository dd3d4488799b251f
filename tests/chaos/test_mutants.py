"""A check that cannot fail proves nothing: each passes on the engine and catches its mutant."""

from __future__ import annotations

import pytest

from tests.chaos.checks import CHECKS, connected
from tests.chaos.mutants import Mutant, applied
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("mutant", Mutant)
def test_a_mutant_is_caught(acme: Tenant, globex: Tenant, mutant: Mutant) -> None:
    check = CHECKS[mutant]
    with connected() as connection:
        assert list(check(acme, connection)) == [], "the engine itself"
        with applied(mutant):
            assert list(check(globex, connection)) != [], f"{mutant} lives"
