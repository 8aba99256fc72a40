"""The four roles as groups, with the permissions of this app; upper apps add theirs in migrations of their own."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEWS = ["view_fleet", "view_registeredmodel", "view_modelversion", "view_hold", "view_event"]
APPROVES = [
    "promote_modelversion",
    "rollback_registeredmodel",
    "change_modelversion",
    "delete_modelversion",
    "add_hold",
    "change_hold",
    "delete_hold",
]
CONFIGURES = [
    "add_fleet",
    "change_fleet",
    "delete_fleet",
    "add_registeredmodel",
    "change_registeredmodel",
    "add_apitoken",
    "view_apitoken",
    "change_apitoken",
    "delete_apitoken",
    "add_tenantmembership",
    "view_tenantmembership",
    "change_tenantmembership",
    "delete_tenantmembership",
]
GRANTS = {
    "viewer": VIEWS,
    "operator": VIEWS,
    "approver": [*VIEWS, *APPROVES],
    "admin": [*VIEWS, *APPROVES, *CONFIGURES],
}


def grant_roles(apps, schema_editor):
    app_config = apps.get_app_config("registry")
    # Permissions are otherwise made after the last migration, too late to be granted here.
    module, app_config.models_module = getattr(app_config, "models_module", None), True
    create_permissions(app_config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    app_config.models_module = module
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for role, codenames in GRANTS.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.add(*Permission.objects.filter(content_type__app_label="registry", codename__in=codenames))


def remove_roles(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=GRANTS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0003_pointers_stay_in_their_model"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant_roles, remove_roles)]
