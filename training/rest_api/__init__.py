"""The routes of training under /api/v1: runs, batches, policies, sources, and published forecasts."""

from django.urls import path

from training.rest_api import forecasts, policies, runs, sources

urlpatterns = [
    path("models/<str:fleet>/<str:entity>/forecast", forecasts.ChampionForecast.as_view(), name="forecast"),
    path("runs", runs.RunList.as_view(), name="runs"),
    path("runs/<str:run>", runs.RunDetail.as_view(), name="run"),
    path("runs/<str:run>/cancel", runs.Cancel.as_view(), name="run-cancel"),
    path("batches", runs.BatchList.as_view(), name="batches"),
    path("batches/<str:batch>", runs.BatchDetail.as_view(), name="batch"),
    path("policies", policies.PolicyList.as_view(), name="policies"),
    path("policies/<str:fleet>/<str:policy>", policies.PolicyDetail.as_view(), name="policy"),
    path("policies/<str:fleet>/<str:policy>/pause", policies.Pause.as_view(), name="policy-pause"),
    path("policies/<str:fleet>/<str:policy>/resume", policies.Resume.as_view(), name="policy-resume"),
    path("sources", sources.SourceList.as_view(), name="sources"),
    path("sources/<str:source>", sources.SourceDetail.as_view(), name="source"),
]
