"""The web entry: admin and REST. Nothing reachable from here loads a scientific library."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PERENNIAL_ROLE", "web")
application = get_wsgi_application()
