"""The routes of the registry under /api/v1: fleets, models, versions, pointers and the ledger."""

from django.urls import path

from registry.rest_api import (
    bundles,
    comparing,
    delivering,
    events,
    fleets,
    holds,
    ledger,
    many,
    pointers,
    retention,
    versions,
)

MODEL = "models/<str:fleet>/<str:entity>"

urlpatterns = [
    path("fleets", fleets.FleetList.as_view(), name="fleets"),
    path("fleets/<str:fleet>", fleets.FleetDetail.as_view(), name="fleet"),
    path("fleets/<str:fleet>/latest", fleets.LatestList.as_view(), name="fleet-latest"),
    path("models/<str:fleet>", fleets.ModelList.as_view(), name="models"),
    path(MODEL, fleets.ModelDetail.as_view(), name="model"),
    path(f"{MODEL}/versions", delivering.ModelVersions.as_view(), name="model-versions"),
    path(f"{MODEL}/imports", delivering.Imports.as_view(), name="model-imports"),
    path(f"{MODEL}/versions/<str:reference>", versions.ModelVersionDetail.as_view(), name="model-version"),
    path(f"{MODEL}/compare", comparing.ModelComparison.as_view(), name="compare"),
    path(f"{MODEL}/champion", pointers.Champion.as_view(), name="champion"),
    path(f"{MODEL}/promote", pointers.Promote.as_view(), name="promote"),
    path(f"{MODEL}/rollback", pointers.RollBack.as_view(), name="rollback"),
    path(f"{MODEL}/champions", ledger.ModelChampions.as_view(), name="model-champions"),
    path(f"{MODEL}/history", events.History.as_view(), name="history"),
    path(f"{MODEL}/history.csv", ledger.ModelHistoryCsv.as_view(), name="history-csv"),
    path(f"{MODEL}/history.jsonl", ledger.ModelHistoryLines.as_view(), name="history-jsonl"),
    path("fleets/<str:fleet>/champions", ledger.FleetChampions.as_view(), name="fleet-champions"),
    path("fleets/<str:fleet>/history.csv", ledger.FleetHistoryCsv.as_view(), name="fleet-history-csv"),
    path("fleets/<str:fleet>/history.jsonl", ledger.FleetHistoryLines.as_view(), name="fleet-history-jsonl"),
    path("metrics", comparing.Catalogue.as_view(), name="metrics"),
    path("versions", versions.VersionSearch.as_view(), name="versions"),
    path("versions/compare", comparing.VersionComparison.as_view(), name="versions-compare"),
    path("versions/bulk", many.VersionsBulk.as_view(), name="versions-bulk"),
    path("fleets/<str:fleet>/rollback", many.FleetRollBack.as_view(), name="fleet-rollback"),
    path("fleets/<str:fleet>/tags", many.FleetTags.as_view(), name="fleet-tags"),
    path("fleets/<str:fleet>/versions", delivering.FleetVersions.as_view(), name="fleet-versions"),
    path("versions/<str:version>", versions.VersionDetail.as_view(), name="version"),
    path("versions/<str:version>/bundle", bundles.VersionBundle.as_view(), name="version-bundle"),
    path("versions/<str:version>/predictions.csv", bundles.PredictionsCsv.as_view(), name="version-predictions-csv"),
    path(
        "versions/<str:version>/predictions.jsonl", bundles.PredictionsLines.as_view(), name="version-predictions-jsonl"
    ),
    path("versions/<str:version>/feature-importance", bundles.FeatureImportance.as_view(), name="version-importance"),
    path("versions/<str:version>/holds", holds.HoldList.as_view(), name="holds"),
    path("versions/<str:version>/holds/<str:hold>", holds.HoldDetail.as_view(), name="hold"),
    path("fleets/<str:fleet>/retention", retention.FleetRetention.as_view(), name="retention"),
    path("fleets/<str:fleet>/retention/candidates", retention.CandidateList.as_view(), name="retention-candidates"),
    path("fleets/<str:fleet>/prune", retention.PruneFleet.as_view(), name="prune-fleet"),
    path(f"{MODEL}/prune", retention.PruneModel.as_view(), name="prune"),
    path("events", events.Feed.as_view(), name="events"),
]
