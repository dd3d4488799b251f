from django.db import migrations

from apps.tenancy.operations import FreezeRows


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0001_initial")]

    operations = [
        FreezeRows(
            "Release",
            changing=(
                "status",
                "scan_id",
                "scan_summary",
                "approval_id",
                "published_at",
                "decision_comment",
                "yank_reason",
                "yank_severity",
                "yanked_at",
                "is_public",
            ),
        ),
    ]
