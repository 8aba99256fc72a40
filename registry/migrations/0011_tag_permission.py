"""The right to tag versions and models, for operators and the roles above them."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

GRANTS = {"operator": ["tag_modelversion"], "approver": ["tag_modelversion"], "admin": ["tag_modelversion"]}


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


def remove_permission(apps, schema_editor):
    Permission = apps.get_model("auth", "Permission")
    Permission.objects.filter(content_type__app_label="registry", codename="tag_modelversion").delete()


class Migration(migrations.Migration):
    dependencies = [("registry", "0010_version_pending")]

    operations = [
        migrations.AlterModelOptions(
            name="modelversion",
            options={
                "ordering": ["registered_model", "-number"],
                "permissions": [
                    ("promote_modelversion", "Can promote a model version"),
                    ("tag_modelversion", "Can tag versions and models"),
                ],
            },
        ),
        migrations.RunPython(grant_roles, remove_permission),
    ]
