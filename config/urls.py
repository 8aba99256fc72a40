"""Every address of the web process: the admin for people, /api for programs, two probes."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("", include("config.rest_api")),
]
handler400 = "registry.rest_base.problems.bad_request"
handler404 = "registry.rest_base.problems.page_not_found"
handler500 = "registry.rest_base.problems.server_error"
