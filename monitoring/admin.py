"""Puts the dashboard on the admin's first page, and takes the task scheduler of django-celery-beat out of it."""

from django.contrib import admin
from django_celery_beat.admin import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

admin.site.index_template = "monitoring/dashboard.html"
admin.site.index_title = "Dashboard"
admin.site.site_title = admin.site.site_header = "Perennial"
# Whoever may edit these may run any registered task with any arguments. Policies are the schedules of this product.
for _table in (PeriodicTask, CrontabSchedule, IntervalSchedule, SolarSchedule, ClockedSchedule):
    if admin.site.is_registered(_table):
        admin.site.unregister(_table)
