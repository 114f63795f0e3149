"""Absolute paths of a device that more than one of agent, controller and Ansible plugins use."""

from __future__ import annotations

AGENT = "/usr/local/bin/thor-agent"
AGENT_ARCHIVE = "/opt/thor/agent.pyz"

SETTINGS = "/etc/thor"
SECRETS = f"{SETTINGS}/secrets.env"
REGISTRY_LOGIN = f"{SETTINGS}/registry.json"
HUB_TOKEN = f"{SETTINGS}/hub-token"  # root, 0600; written by Ansible (role thor_host)
DOCKER_SETTINGS = f"{SETTINGS}/docker.json"  # what the role thor_runtime made of /etc/docker/daemon.json

STATE = "/var/lib/thor"  # survives a reboot
RELEASES = f"{STATE}/releases"
INCOMING = f"{STATE}/incoming"
EVENTS = f"{STATE}/events.jsonl"

RUN = "/run/thor"  # a tmpfs
PROGRESS = f"{RUN}/progress.json"
ENGINE_NAME = "main"
ENGINE_SOCKET = f"{RUN}/engines/{ENGINE_NAME}/engine.sock"
