"""People: global rows, signed in by e-mail. What they may do is in their memberships."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models

from apps.kit.clock import now
from apps.kit.ids import uuid7


class UserManager(BaseUserManager["User"]):
    """Creates people with a normalized, lower-case e-mail address."""

    def create_user(self, email: str, password: str | None = None, *, name: str = "") -> User:
        """A person who can sign in; without a password only through an invitation."""
        user = self.model(email=self.normalize_email(email).lower(), name=name)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, *, name: str = "") -> User:
        """Platform staff with the Django admin."""
        user = self.create_user(email, password, name=name)
        user.is_staff = True
        user.is_superuser = True
        user.save(using=self._db, update_fields=["is_staff", "is_superuser"])
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        """Sign-in looks addresses up without regard to case."""
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Global: one account, many organizations."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="Works for the platform.")
    date_joined = models.DateTimeField(default=now)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        ordering = ("email",)

    def __str__(self) -> str:
        return self.email

    @property
    def display_name(self) -> str:
        """What others see."""
        return self.shown(self.name, self.email)

    @staticmethod
    def shown(name: str, email: str) -> str:
        """What others see of a person with this name and address."""
        return name or email.split("@", 1)[0]
