"""What the four roles may do in this app."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEWS = [
    "view_source",
    "view_snapshot",
    "view_retrainingpolicy",
    "view_batch",
    "view_chunk",
    "view_trainingrun",
    "view_runlog",
    "view_forecast",
    "view_worker",
]
OPERATES = ["trigger_trainingrun", "cancel_trainingrun", "pause_retrainingpolicy"]
APPROVES = ["delete_trainingrun"]
CONFIGURES = [
    "add_source",
    "change_source",
    "delete_source",
    "add_retrainingpolicy",
    "change_retrainingpolicy",
    "delete_retrainingpolicy",
]
GRANTS = {
    "viewer": VIEWS,
    "operator": [*VIEWS, *OPERATES],
    "approver": [*VIEWS, *OPERATES, *APPROVES],
    "admin": [*VIEWS, *OPERATES, *APPROVES, *CONFIGURES],
}


def grant_roles(apps, schema_editor):
    app_config = apps.get_app_config("training")
    # Permissions are otherwise made after the last migration, too late to be granted here.
    module, app_config.models_module = getattr(app_config, "models_module", None), True
    create_permissions(app_config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    app_config.models_module = module
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for role, codenames in GRANTS.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.add(*Permission.objects.filter(content_type__app_label="training", codename__in=codenames))


def revoke_roles(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    granted = Permission.objects.filter(content_type__app_label="training")
    for group in Group.objects.filter(name__in=GRANTS):
        group.permissions.remove(*granted)


class Migration(migrations.Migration):
    dependencies = [("training", "0002_terminal_runs_stay"), ("registry", "0004_roles")]

    operations = [migrations.RunPython(grant_roles, revoke_roles)]
