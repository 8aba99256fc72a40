"""The production description, checked by reading: no container engine is needed."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from django.conf import settings

from config import processes
from local import state

COMPOSE: dict[str, Any] = yaml.safe_load((state.PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = ("control", "export", "maintenance", "interactive", "training")
DOCKERFILE = (state.PROJECT / "Dockerfile").read_text()
OURS = [name for name, service in SERVICES.items() if service["image"] == "perennial"]


def queues_of(argv: list[str]) -> set[str]:
    """The queues that a worker's command names."""
    return set(argv[argv.index("-Q") + 1].split(","))


def test_it_is_the_set_that_up_runs_with_its_servers_and_one_migration() -> None:
    names = {process.name for process in processes.installation(web_port=8000)}

    assert set(SERVICES) == names | {"postgres", "redis", "migrate"}


def test_every_declared_queue_has_a_worker_and_no_worker_reads_another() -> None:
    declared = {queue.name for queue in settings.CELERY_TASK_QUEUES}
    in_compose = {name: queues_of(SERVICES[name]["command"]) for name in WORKERS}
    in_up = {
        process.name: queues_of(list(process.argv))
        for process in processes.installation(web_port=1)
        if "-Q" in process.argv
    }

    assert in_compose == in_up
    assert set().union(*in_compose.values()) == declared
    assert declared == {"control", "export", "maintenance", "interactive", "training", "monitoring"}


def test_training_has_as_many_slots_as_cores_and_the_others_have_one() -> None:
    for name in ("control", "export", "maintenance", "interactive"):
        assert "--concurrency=1" in SERVICES[name]["command"]
    assert not any("--concurrency" in word for word in SERVICES["training"]["command"])
    assert "container_name" not in SERVICES["training"], "a fixed name cannot be scaled"


@pytest.mark.parametrize("name", OURS)
def test_every_process_of_ours_gets_the_secrets_the_servers_and_time_to_finish(name: str) -> None:
    service = SERVICES[name]

    assert service["env_file"] == ".env"
    assert {"DATABASE_URL", "REDIS_URL", "REMAP_SIGTERM"} <= set(service["environment"])
    assert service["stop_grace_period"] == "75s"
    assert int(service["stop_grace_period"][:-1]) > settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT


def test_nothing_starts_before_the_one_migration_is_done() -> None:
    for name in set(OURS) - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_redis_keeps_its_queue_and_never_evicts() -> None:
    command = " ".join(SERVICES["redis"]["command"])

    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert SERVICES["redis"]["image"] == "redis:8-alpine"


def test_volumes_that_are_mounted_are_declared() -> None:
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}

    assert mounted == set(COMPOSE["volumes"])


def test_image_is_locked_without_development_tools_and_not_run_as_root() -> None:
    assert "uv sync --frozen --no-dev" in DOCKERFILE
    assert re.search(r"^USER perennial$", DOCKERFILE, re.MULTILINE)
    assert "collectstatic" in DOCKERFILE
    version = re.search(r"^UV_VERSION := (\S+)$", (state.PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert version is not None
    assert f"uv=={version[1]}" in DOCKERFILE
