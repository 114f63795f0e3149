"""Error codes: what each means, and what a process exits with because of it.

A code is stable: programs decide by it. The message and the remedy, which name values, are built where the
error is raised; docs/how-to/troubleshoot.md has the way out of each.
"""

from __future__ import annotations

from typing import NamedTuple

# Exit codes of thor-agent.
DONE, FAILED, BAD_STATE, BUSY = 0, 1, 2, 3
SIGNAL = 128  # plus the number of the signal that ended the verb, as shells count
# Exit codes of thorctl.
SUCCESS, ERROR, USAGE, PARTIAL, LEASED, DECLINED = 0, 1, 2, 3, 4, 5
INTERRUPTED = 130


class ErrorCode(NamedTuple):
    """One error code.

    Attributes:
        meaning: the condition, one sentence.
        exit_code: of thorctl, where the error is the command's and not that of one device among others.
        agent_exit_code: of thor-agent.
    """

    meaning: str
    exit_code: int = ERROR
    agent_exit_code: int = FAILED


# Of thor-agent; thorctl raises some of them too.
AGENT_ERRORS = {
    "account_missing": ErrorCode("The account that downloads is missing on the device."),
    "bad_call": ErrorCode("The verb was called with invalid arguments.", USAGE, BAD_STATE),
    "bad_state": ErrorCode(
        "The verb is not possible in the device's present state.", agent_exit_code=BAD_STATE
    ),
    "bench_failed": ErrorCode("The benchmark measured nothing that may be reported."),
    "busy": ErrorCode("Another verb is at work on the device.", LEASED, BUSY),
    "disk_read_only": ErrorCode("A disk of the device is read-only."),
    "disk_too_small": ErrorCode("A disk has too little free space."),
    "docker_busy": ErrorCode("Docker is still removing a container."),
    "docker_unavailable": ErrorCode("The Docker engine is not installed or does not answer."),
    "download_interrupted": ErrorCode("The connection to the hub broke during the download."),
    "engine_died": ErrorCode("The engine ended before it was ready."),
    "engine_not_ready": ErrorCode("The engine is stopped, or was not ready in the release's time."),
    "fetcher_exceeded": ErrorCode("The fetcher wrote more bytes than the lock has."),
    "fetcher_failed": ErrorCode("The fetcher failed in a way that has no code of its own."),
    "fetcher_not_stopped": ErrorCode("Processes of the fetcher remain after it was stopped."),
    "file_missing": ErrorCode("A file of the checkpoint is missing on the hub or on the device."),
    "file_wrong_hash": ErrorCode("A file of the checkpoint has another SHA-256 than the lock."),
    "file_wrong_size": ErrorCode("A file of the checkpoint has another size than the lock."),
    "held": ErrorCode("The device's hold forbids the change.", agent_exit_code=BUSY),
    "hub_answer_invalid": ErrorCode("The answer is not that of a model hub."),
    "hub_clock": ErrorCode("The hub's certificate is not valid by the machine's clock."),
    "hub_denied": ErrorCode("The hub denies access to the checkpoint."),
    "hub_limited": ErrorCode("The hub limits the requests of this machine."),
    "hub_name_unknown": ErrorCode("The hub's name cannot be resolved."),
    "hub_proxy_failed": ErrorCode("The proxy does not reach the hub, or needs a login."),
    "hub_stalled": ErrorCode("The hub stopped sending."),
    "hub_unavailable": ErrorCode("The hub or its storage answers with a server error."),
    "hub_unreachable": ErrorCode("The hub cannot be reached."),
    "hub_untrusted": ErrorCode("The hub's certificate is not trusted."),
    "image_digest_mismatch": ErrorCode("Docker does not list the pulled image under its digest."),
    "image_entrypoint_missing": ErrorCode("The image has no entrypoint that can be started."),
    "image_not_found": ErrorCode("The registry does not have the image."),
    "image_pull_failed": ErrorCode("Docker could not pull the image."),
    "image_user_unusable": ErrorCode("The engine does not start as the user that the profile names."),
    "image_volume_refused": ErrorCode("The image declares a volume over a path of the release."),
    "incoming_unsafe": ErrorCode("The download directory holds something that is not a regular file."),
    "internal": ErrorCode("A fault of the program, or a signal that ended it."),
    "interrupted": ErrorCode("The verb or command was ended before it had an answer.", INTERRUPTED),
    "journal_corrupt": ErrorCode("The journal of the device cannot be read."),
    "leased": ErrorCode("Another holder has the device's lease.", LEASED, BUSY),
    "no_way_back": ErrorCode(
        "The current release could not be restored after an activation.", agent_exit_code=BAD_STATE
    ),
    "not_staged": ErrorCode("The release is not whole on the device.", agent_exit_code=BAD_STATE),
    "nothing_to_roll_back": ErrorCode("No earlier release was committed.", agent_exit_code=BAD_STATE),
    "port_in_use": ErrorCode("Another program uses the port of the engine."),
    "preflight_failed": ErrorCode("A check of preflight failed."),
    "registry_clock": ErrorCode("The registry's certificate is not valid by the machine's clock."),
    "registry_denied": ErrorCode("The registry denies access to the image."),
    "registry_limited": ErrorCode("The registry limits the requests of this machine."),
    "registry_proxy_failed": ErrorCode("The proxy does not reach the registry, or needs a login."),
    "registry_unavailable": ErrorCode("The registry answers with a server error."),
    "registry_untrusted": ErrorCode("The registry's certificate is not trusted."),
    "release_conflict": ErrorCode(
        "Another document has the release's name on the device.", agent_exit_code=BAD_STATE
    ),
    "release_invalid": ErrorCode("The release document is invalid.", agent_exit_code=BAD_STATE),
    "smoke_failed": ErrorCode("The smoke test of the release failed."),
    "smoke_missing": ErrorCode(
        "No smoke test has passed since the release was activated.", agent_exit_code=BAD_STATE
    ),
}

# Of thorctl and of the Ansible plugins only.
_CONTROLLER_ERRORS = {
    # The way to a device, and its agent
    "agent_garbage": ErrorCode("The agent's answer is not one of the contract."),
    "agent_missing": ErrorCode("The agent is not installed on the device."),
    "agent_not_installed": ErrorCode("The agent that the release needs could not be installed."),
    "agent_timeout": ErrorCode("The agent did not answer in time."),
    "another_device": ErrorCode("Another device answers under the name."),
    "answer_too_large": ErrorCode("An answer of the device has more characters than are read."),
    "auth_failed": ErrorCode("The device refused the login."),
    "command_failed": ErrorCode("A program failed on the device."),
    "connection_not_followed": ErrorCode(
        "The inventory asks for a connection or become method that thorctl lacks."
    ),
    "device_unreachable": ErrorCode("The device cannot be reached, or the connection broke."),
    "host_key_mismatch": ErrorCode("The device has another host key than known_hosts."),
    "host_key_unknown": ErrorCode("known_hosts has no key of the device."),
    "key_unreadable": ErrorCode("No SSH key of the inventory can be used."),
    "known_hosts_unreadable": ErrorCode("known_hosts cannot be read."),
    "log_missing": ErrorCode("The device has no log of events."),
    "login_not_followed": ErrorCode("The login needs a method that thorctl lacks."),
    "python_missing": ErrorCode("The device has no python3."),
    "rebooted": ErrorCode("The device restarted during the verb."),
    "release_unreadable": ErrorCode("The release document on the device cannot be read."),
    "ssh_option_not_followed": ErrorCode("The SSH configuration has an option that thorctl lacks."),
    "ssh_options_invalid": ErrorCode("The SSH options of the inventory are invalid."),
    "sudo_password": ErrorCode("sudo on the device asks for a password."),
    "sudo_refused": ErrorCode("sudo on the device refuses the agent."),
    "timeout": ErrorCode("A verb of a playbook did not end in time."),
    "tunnel_refused": ErrorCode("sshd on the device refuses to forward to the engine."),
    "unreachable": ErrorCode("The device stopped answering during a verb of a playbook."),
    # The command line, its environment and its files
    "consent_missing": ErrorCode("A change needs a confirmation, and there is no terminal.", USAGE),
    "declined": ErrorCode("The question was answered with no.", DECLINED),
    "doctor_failed": ErrorCode("A check of doctor failed."),
    "environment_invalid": ErrorCode("An environment variable has an invalid value."),
    "extra_missing": ErrorCode("A Python package of an extra is not installed.", USAGE),
    "file_too_large": ErrorCode("A file has more bytes than are read."),
    "file_unreadable": ErrorCode("A file cannot be read."),
    "file_unusable": ErrorCode("A file cannot be used."),
    "folder_not_empty": ErrorCode("The folder of a new project has other files.", USAGE),
    "folder_unusable": ErrorCode("The folder of a new project cannot be written.", USAGE),
    "home_unknown": ErrorCode("The user has no home directory.", USAGE),
    "output_failed": ErrorCode("The output cannot be written."),
    "project_not_found": ErrorCode("There is no project in this folder or above it.", USAGE),
    "run_folder": ErrorCode("The folder for a run of Ansible cannot be made."),
    "template_invalid": ErrorCode("A template cannot be rendered."),
    "templates_missing": ErrorCode("A template is missing."),
    "tool_missing": ErrorCode("A program or a package of the system is not installed."),
    "usage": ErrorCode("The command line is invalid.", USAGE),
    "working_directory_gone": ErrorCode("The working directory cannot be read.", USAGE),
    "yaml_malformed": ErrorCode("A file is not valid YAML."),
    # The inventory and Ansible
    "ansible_folder": ErrorCode("Ansible has no folder that it can use."),
    "ansible_missing": ErrorCode("Ansible is not installed beside thorctl."),
    "ansible_setting": ErrorCode("A setting of Ansible is invalid."),
    "device_unknown": ErrorCode("No device has the given name.", USAGE),
    "inventory_empty": ErrorCode("The inventory names no device."),
    "inventory_incomplete": ErrorCode("The inventory lacks a variable of the device."),
    "inventory_invalid": ErrorCode("The inventory cannot be read."),
    "inventory_missing": ErrorCode("There is no inventory.", USAGE),
    "maintenance_window_invalid": ErrorCode("A maintenance window is invalid."),
    "one_device_wanted": ErrorCode("The verb takes one device, and several were named.", USAGE),
    "pattern_invalid": ErrorCode("A pattern of device names is no regular expression.", USAGE),
    "playbook_unknown": ErrorCode("There is no playbook of that name."),
    "vault_password_missing": ErrorCode("The inventory is encrypted, and no vault password is given."),
    "vault_password_unreadable": ErrorCode("The vault password cannot be read."),
    "vault_password_wrong": ErrorCode("The vault password does not decrypt the inventory."),
    # Profiles, locks, device classes and releases
    "deploy_differs": ErrorCode("The inventory renders releases from another deploy folder."),
    "device_class_invalid": ErrorCode("A device class is invalid."),
    "device_class_mismatch": ErrorCode("The profile is not made for the device class."),
    "device_class_missing": ErrorCode("The inventory gives the device no class.", USAGE),
    "device_class_unknown": ErrorCode("There is no device class of that name."),
    "engine_file_missing": ErrorCode("A file of the profile's engine_files cannot be read."),
    "license_mismatch": ErrorCode("Model card and profile name different licences."),
    "license_not_accepted": ErrorCode("The licence of the checkpoint was not accepted."),
    "lock_edited": ErrorCode("The lock was edited after it was written."),
    "lock_invalid": ErrorCode("The lock is invalid."),
    "lock_mismatch": ErrorCode("The lock was made from another profile."),
    "lock_missing": ErrorCode("The profile has no lock."),
    "lock_stale": ErrorCode("The profile resolves to other bytes than its lock has."),
    "lock_unreadable": ErrorCode("The lock cannot be read."),
    "memory_exceeds_device": ErrorCode("The engine needs more memory than the device has."),
    "memory_not_computed": ErrorCode("The memory that the engine needs cannot be computed."),
    "model_config_invalid": ErrorCode("The checkpoint's config.json is invalid."),
    "model_not_locked": ErrorCode("The lock has no figures of the model."),
    "option_refused": ErrorCode("vLLM lacks an option of the profile, or its value."),
    "out_foreign": ErrorCode("The output folder of render has other files.", USAGE),
    "out_not_empty": ErrorCode("The output folder of render is not empty.", USAGE),
    "platform_mismatch": ErrorCode("The image or the device class is of another platform."),
    "platform_not_found": ErrorCode("The image is not made for the platform."),
    "profile_invalid": ErrorCode("The profile is invalid."),
    "profile_unknown": ErrorCode("There is no profile of that name."),
    "release_unfit": ErrorCode("The release is made for another device class.", USAGE),
    "release_unknown": ErrorCode("The project does not make the named release."),
    "revision_not_found": ErrorCode("The hub's repository has no such revision."),
    "simulation_missing": ErrorCode("The lock is of a simulation that does not run."),
    # Registries and hubs
    "docker_login_unreadable": ErrorCode("The login of a registry cannot be read."),
    "docker_login_unusable": ErrorCode("The login of a registry can be used by Docker only."),
    "hub_failed": ErrorCode("The hub answers with an HTTP status that has no code of its own."),
    "hub_invalid": ErrorCode("The hub's list of files is invalid."),
    "hub_no_ranges": ErrorCode("The hub does not answer requests for a part of a file."),
    "hub_offline": ErrorCode("The environment forbids to ask the hub."),
    "hub_publish_failed": ErrorCode("The checkpoint could not be published."),
    "hub_too_slow": ErrorCode("The hub did not answer in full in time."),
    "image_push_failed": ErrorCode("The image could not be pushed."),
    "manifest_unsupported": ErrorCode("The registry's manifest has an unknown type."),
    "registry_digest_mismatch": ErrorCode("The registry's bytes have another digest than asked for."),
    "registry_failed": ErrorCode("The registry answers with an HTTP status that has no code of its own."),
    "registry_invalid": ErrorCode("The registry's answer is invalid."),
    "registry_name_unknown": ErrorCode("The registry's name cannot be resolved."),
    "registry_plain": ErrorCode("The registry asks for a login over an unencrypted connection."),
    "registry_too_slow": ErrorCode("The registry did not answer in full in time."),
    "registry_unreachable": ErrorCode("The registry cannot be reached."),
    # Checkpoints
    "architecture_unknown": ErrorCode("The audit lacks the checkpoint's architecture."),
    "checkpoint_damaged": ErrorCode("A file of the checkpoint is no safetensors file."),
    "checkpoint_incomplete": ErrorCode("The checkpoint lacks a file."),
    "checkpoint_not_found": ErrorCode("There is no checkpoint of that name."),
    "checkpoint_not_judged": ErrorCode("The audit could not judge the checkpoint."),
    "checkpoint_off": ErrorCode("The audit found faults in the checkpoint."),
    "device_missing": ErrorCode("PyTorch cannot use the device that quantizes."),
    "nothing_to_repair": ErrorCode("The checkpoint has nothing to repair."),
    "out_busy": ErrorCode("Another process writes the output folder."),
    "out_exists": ErrorCode("The output folder exists."),
    "out_in_source": ErrorCode("The output folder is inside the source."),
    "quantize_missing": ErrorCode("The package that quantizes cannot be imported."),
    "result_unverified": ErrorCode("The written checkpoint does not pass its verification."),
    "source_changed": ErrorCode("The unfinished run began with another source or settings."),
    "source_not_local": ErrorCode("The source is on a hub, and a local folder is needed."),
    "source_off": ErrorCode("The source cannot be quantized."),
    "source_quantized": ErrorCode("The source is quantized already."),
    # Rollouts
    "device_absent": ErrorCode("A device did not answer during the rollout."),
    "device_failed": ErrorCode("A device failed in the rollout."),
    "device_kept_for_review": ErrorCode("A device is kept on trial for review."),
    "machine_twice": ErrorCode("One machine has two names and would get two releases.", USAGE),
    "not_held": ErrorCode("The device whose hold is passed over has none.", USAGE),
    "nothing_to_approve": ErrorCode("No wave waits for approval.", USAGE),
    "policy_canary_is_all": ErrorCode("The canary takes all devices.", USAGE),
    "policy_empty_canary": ErrorCode("The canary takes no device.", USAGE),
    "policy_invalid": ErrorCode("The policy is invalid.", USAGE),
    "policy_leaves_out": ErrorCode("No wave takes a device.", USAGE),
    "policy_never_stops": ErrorCode("The policy's error threshold is above the number of devices.", USAGE),
    "policy_selector": ErrorCode("A wave names a device that is not chosen.", USAGE),
    "policy_unknown": ErrorCode("There is no policy of that name."),
    "policy_windows": ErrorCode("The policy has no maintenance window for a site.", USAGE),
    "rollout_at_work": ErrorCode("Another process runs a rollout.", LEASED),
    "rollout_ended": ErrorCode("The rollout has ended.", USAGE),
    "rollout_interrupted": ErrorCode("The rollout was interrupted.", INTERRUPTED),
    "rollout_overtaken": ErrorCode("A later rollout includes the same devices.", USAGE),
    "rollout_unfinished": ErrorCode("An interrupted rollout holds the devices.", LEASED),
    "rollout_unknown": ErrorCode("There is no rollout of that name.", USAGE),
    # The store of the controller
    "store_busy": ErrorCode("Another process has locked the store."),
    "store_corrupt": ErrorCode("The store is damaged."),
    "store_foreign": ErrorCode("The store is a database of another program."),
    "store_full": ErrorCode("The disk of the store is full."),
    "store_newer": ErrorCode("The store was written by a newer thorctl."),
    "store_unusable": ErrorCode("The store cannot be used."),
    # Chat and benchmark
    "baseline_unknown": ErrorCode("There is no such baseline."),
    "baseline_unreadable": ErrorCode("The baseline cannot be read."),
    "bench_incomparable": ErrorCode("The measurement cannot be compared with its baseline."),
    "bench_slower": ErrorCode("The device is slower than its baseline by more than the tolerance."),
    "engine_aborted": ErrorCode("The engine stopped before the answer was complete."),
    "engine_error": ErrorCode("The engine reported an error in its answer."),
    "engine_refused": ErrorCode("The engine answered with an HTTP error."),
    "engine_silent": ErrorCode("The engine stopped sending."),
    "measurement_unreadable": ErrorCode("The measurement is not in the form of this thorctl."),
    "over_current": ErrorCode("The device throttled itself during the benchmark."),
    "prompt_empty": ErrorCode("The prompt is empty.", USAGE),
    "stream_cut": ErrorCode("The engine's answer ended before its end was sent."),
    "stream_garbage": ErrorCode("The engine's answer is no stream of chat completions."),
    # The edge
    "edge_ca_exists": ErrorCode("There is a certificate authority already."),
    "edge_ca_expired": ErrorCode("The certificate of the authority has expired."),
    "edge_ca_missing": ErrorCode("There is no certificate authority."),
    "edge_ca_not_yet_valid": ErrorCode("The certificate of the authority begins in the future."),
    "edge_ca_unreadable": ErrorCode("The key of the authority cannot be read."),
    "edge_certificate_expired": ErrorCode("The certificate of the device has expired."),
    "edge_certificate_mismatch": ErrorCode("The private key does not belong to the certificate."),
    "edge_certificate_missing": ErrorCode("The device has no certificate and key."),
    "edge_certificate_not_yet_valid": ErrorCode("The certificate of the device begins in the future."),
    "edge_certificate_unreadable": ErrorCode("The certificate is not PEM."),
    "edge_key_twice": ErrorCode("Two clients have the same API key."),
    "edge_key_weak": ErrorCode("An API key is too short or has other characters."),
    "edge_keys_missing": ErrorCode("The door or the edge needs an API key and has none."),
    "edge_permit_invalid": ErrorCode("The authority cannot be limited to the given name.", USAGE),
    "edge_pki_unreadable": ErrorCode("The folder of certificates cannot be read."),
    "edge_pki_unwritable": ErrorCode("The folder of certificates cannot be written."),
    "edge_private_key_unreadable": ErrorCode("The private key is not PEM, or has a passphrase."),
    "edge_san_invalid": ErrorCode("A name of the certificate is neither an address nor a DNS name."),
    "edge_san_not_permitted": ErrorCode("The authority is not permitted to sign for a name."),
    "edge_settings_invalid": ErrorCode("A setting of the edge is invalid."),
    "passphrase_empty": ErrorCode("The passphrase is empty.", USAGE),
    "passphrase_missing": ErrorCode("A passphrase is needed, and there is no terminal.", USAGE),
    # Simulated devices
    "binfmt_unavailable": ErrorCode("The machine cannot run programs for aarch64."),
    "docker_refused": ErrorCode("The Docker engine refused a request."),
    "image_build_failed": ErrorCode("An image of the simulation could not be built."),
    "images_in_use": ErrorCode("Containers use the images of the simulation."),
    "no_free_subnet": ErrorCode("No private network is free."),
    "sim_device_missing": ErrorCode("The container of a simulated device does not exist."),
    "sim_device_not_booted": ErrorCode("A simulated device did not boot."),
    "sim_device_not_created": ErrorCode("The container of a simulated device could not be created."),
    "sim_device_off": ErrorCode("A simulated device is switched off."),
    "sim_device_unhealthy": ErrorCode("Units of a simulated device failed."),
    "sim_fewer_devices": ErrorCode("The simulation has more devices than asked for.", USAGE),
    "sim_host_key_missing": ErrorCode("A simulated device has no SSH host key."),
    "sim_image_store_unsupported": ErrorCode("The device's Docker has no containerd image store.", USAGE),
    "sim_name_invalid": ErrorCode("The name of the simulation is invalid.", USAGE),
    "sim_name_taken": ErrorCode("Another state folder has a simulation of that name."),
    "sim_not_running": ErrorCode("There is no simulation."),
    "sim_port_taken": ErrorCode("The port of a simulated device is taken."),
    "sim_service_not_ready": ErrorCode("A service of the simulation does not answer."),
    "sim_state_invalid": ErrorCode("The state of the simulation cannot be read."),
    "sim_too_many_devices": ErrorCode("The simulation would be too large.", USAGE),
    "sim_vm_monitor": ErrorCode("QEMU's monitor does not answer."),
    "sim_vm_not_started": ErrorCode("The virtual machine could not be started."),
    "sim_vm_not_stopped": ErrorCode("The virtual machine could not be stopped."),
    "site_invalid": ErrorCode("The name of a site is invalid.", USAGE),
}

ERRORS = AGENT_ERRORS | _CONTROLLER_ERRORS


def exit_code(code: str) -> int:
    """What thorctl exits with because of ``code``; 1 where the table does not have it, as a newer agent's."""
    return ERRORS[code].exit_code if code in ERRORS else ERROR


def agent_exit_code(code: str) -> int:
    """What thor-agent exits with because of ``code``; 1 where the table does not have it."""
    return AGENT_ERRORS[code].agent_exit_code if code in AGENT_ERRORS else FAILED
