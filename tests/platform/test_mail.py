"""Mail: where a URL sends it, and that a machine without one signs people up all the same."""

from __future__ import annotations

import pytest
from django.core import mail as outbox
from django.test import Client, override_settings

from apps.tenancy.models import User
from config import mail
from config.env import EnvironmentInvalid


def test_without_a_url_mail_is_printed() -> None:
    assert mail.settings_of(None)["EMAIL_BACKEND"].endswith("console.EmailBackend")


def test_a_submission_url_is_taken_apart() -> None:
    found = mail.settings_of("smtp://us%40er:p%2Fw@mail.example.com?from=a@example.com")
    assert found["EMAIL_HOST"] == "mail.example.com"
    assert (found["EMAIL_PORT"], found["EMAIL_USE_TLS"]) == (587, True)
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("us@er", "p/w")
    assert found["DEFAULT_FROM_EMAIL"] == "a@example.com"


def test_tls_from_the_first_byte() -> None:
    found = mail.settings_of("smtps://mail.example.com")
    assert (found["EMAIL_PORT"], found["EMAIL_USE_SSL"]) == (465, True)


@pytest.mark.parametrize("url", ["mail.example.com", "http://mail.example.com", "smtp://"])
def test_what_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(EnvironmentInvalid, match="smtp://"):
        mail.settings_of(url)


@pytest.mark.django_db
def test_signing_up_works_where_mail_is_printed() -> None:
    form = {"email": "new@example.com", "password1": "a long enough one", "password2": ""}
    form["password2"] = form["password1"]
    with override_settings(**mail.settings_of(None)):
        answer = Client().post("/accounts/signup/", form)
    assert answer.status_code == 302
    assert User.objects.filter(email="new@example.com").exists()
    assert outbox.outbox == []
