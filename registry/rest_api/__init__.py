"""The routes of the registry under /api/v1: fleets, models, versions, pointers and the ledger."""

from django.urls import path

from registry.rest_api import events, fleets, pointers, versions

MODEL = "models/<str:fleet>/<str:entity>"

urlpatterns = [
    path("fleets", fleets.FleetList.as_view(), name="fleets"),
    path("fleets/<str:fleet>", fleets.FleetDetail.as_view(), name="fleet"),
    path("models/<str:fleet>", fleets.ModelList.as_view(), name="models"),
    path(MODEL, fleets.ModelDetail.as_view(), name="model"),
    path(f"{MODEL}/versions", versions.VersionList.as_view(), name="model-versions"),
    path(f"{MODEL}/versions/<str:reference>", versions.ModelVersionDetail.as_view(), name="model-version"),
    path(f"{MODEL}/champion", pointers.Champion.as_view(), name="champion"),
    path(f"{MODEL}/promote", pointers.Promote.as_view(), name="promote"),
    path(f"{MODEL}/rollback", pointers.RollBack.as_view(), name="rollback"),
    path(f"{MODEL}/history", events.History.as_view(), name="history"),
    path("versions/<str:version>", versions.VersionDetail.as_view(), name="version"),
    path("events", events.Feed.as_view(), name="events"),
]
