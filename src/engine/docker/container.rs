//! Containers: `containers/ID/config.v2.json` and `hostconfig.json` (moby container/container.go,
//! api/types/container/hostconfig.go).

use super::documents;
use super::image::Images;
use super::layer::Layers;
use super::log;
use super::network;
use super::volume::Volumes;
use crate::engine::{JsonFile, Marks, Survey, Walked};
use crate::evidence::EvidencePath;
use crate::parse::json::Fields;
use crate::problem::Severity;
use crate::record;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// What the rest of the survey knows when containers are read.
pub struct Context<'a> {
    /// Row id of the engine.
    pub engine: i64,
    /// The data root.
    pub root: &'a EvidencePath,
    /// Layers by container.
    pub layers: &'a Layers,
    /// Images by id.
    pub images: &'a Images,
    /// Volumes by name.
    pub volumes: &'a Volumes,
    /// Drivers with an image store.
    pub drivers: &'a [String],
}

/// Reads every container of a data root. Gives the storage drivers they name, each once.
pub fn survey(survey: &mut Survey<'_>, cx: &Context<'_>) -> Vec<String> {
    let folder = cx.root.join("containers");
    let (mut used, mut seen) = (Vec::new(), HashSet::new());
    let mut names: BTreeMap<String, Vec<EvidencePath>> = BTreeMap::new();
    for name in survey.names(&folder) {
        let dir = folder.join(&name);
        if !survey.is_dir(&dir) {
            continue;
        }
        let read = container(survey, cx, &dir);
        if let Some(name) = read.loads_as {
            names.entry(name).or_default().push(dir);
        }
        if let Some(driver) = read.driver
            && seen.insert(driver.clone())
        {
            used.push(driver);
        }
    }
    for (name, dirs) in names {
        for dir in dirs.iter().filter(|_| dirs.len() > 1) {
            // daemon/daemon.go, restore: whichever registers its name first.
            let what = format!(
                "{} containers have the name {name}: the engine loads only one of them, which one is left to chance",
                dirs.len()
            );
            survey.problem(
                Severity::Warning,
                &dir.join("config.v2.json"),
                what,
                "all of them",
            );
        }
    }
    used
}

/// What [`survey`] has to know of a container besides its rows.
#[derive(Default)]
struct Known {
    /// The storage driver it names.
    driver: Option<String>,
    /// The name the engine loads it under, with its slash; `None` when the engine does not load it.
    loads_as: Option<String>,
}

/// Why the engine does not load a container, if its files make it refuse (daemon/container.go, load).
fn refused(config: Option<&JsonFile>, host: Option<&JsonFile>, full_id: &str) -> Option<String> {
    let config = config?;
    let decoded = |name: &str, file: &JsonFile| {
        let why = file.refused.as_ref()?;
        Some(format!("it cannot decode {name}: {why}"))
    };
    let other = || {
        let own = config.value.get("ID")?.as_str()?;
        (own != full_id).then(|| format!("config.v2.json says its ID is {own}"))
    };
    let system = || {
        let os = config.value.get("OS")?.as_str()?;
        let other = !os.is_empty() && !os.eq_ignore_ascii_case("linux");
        other.then(|| format!("its OS is {os}"))
    };
    decoded("config.v2.json", config)
        .or_else(|| decoded("hostconfig.json", host?))
        .or_else(other)
        .or_else(system)
}

/// What in a container's files stops the engine when it starts: a pointer that its code follows and that is nil then.
fn fatal(config: Option<&JsonFile>, host: Option<&JsonFile>) -> Option<&'static str> {
    let config = &config.filter(|file| file.refused.is_none())?.value;
    let null = |name: &str| config.get(name).is_some_and(Value::is_null);
    let host = host.filter(|file| file.refused.is_none());
    let mounts = config.get("MountPoints").and_then(Value::as_object);
    match () {
        () if null("State") => Some("State is null"),
        () if host.is_some_and(|file| file.value.is_null()) => Some("hostconfig.json is null"),
        () if null("Config") || config.get("Config").is_none() => Some("it has no Config"),
        () if mounts.is_some_and(|all| all.values().any(Value::is_null)) => {
            Some("a mount point is null")
        }
        () => None,
    }
}

/// Reads a container.
fn container(survey: &mut Survey<'_>, cx: &Context<'_>, dir: &EvidencePath) -> Known {
    let full_id = crate::text::lossless(dir.file_name()).into_owned();
    let id = survey.next_id("container");
    let config_path = dir.join("config.v2.json");
    let host_path = dir.join("hostconfig.json");
    let config = survey.read_json(&config_path, &documents::CONTAINER);
    let host = survey.read_json(&host_path, &documents::HOST_CONFIG);
    if config.is_none() && !survey.evidence.exists(&config_path) {
        survey.problem(
            Severity::Warning,
            dir,
            "container directory without config.v2.json",
            "its id, its log and its layer",
        );
    }
    let null = Value::Null;
    if host.is_none() && config.is_some() && !survey.evidence.exists(&host_path) {
        let kept = "the container; not its restart policy, privileges, limits, ports asked for and log driver";
        survey.problem(Severity::Warning, &host_path, "not there", kept);
    }
    let refused = refused(config.as_ref(), host.as_ref(), &full_id);
    if let Some(why) = &refused {
        let what = format!("the engine does not load this container: {why}");
        let kept = "what could be read of it, under its directory's name";
        survey.problem(Severity::Warning, &config_path, what, kept);
    }
    if let Some(why) = fatal(config.as_ref(), host.as_ref()).filter(|_| refused.is_none()) {
        let what = format!("the engine does not start while this container is there: {why}");
        survey.problem(
            Severity::Warning,
            &config_path,
            what,
            "what could be read of it",
        );
    }
    let source_id = config.as_ref().map(|file| file.source);
    let hostconfig_source_id = host.as_ref().map(|file| file.source);
    let mut c = Fields::new(config.as_ref().map_or(&null, |file| &file.value));
    let mut h = Fields::new(host.as_ref().map_or(&null, |file| &file.value));
    let name = c.text("Name");
    if let Some(name) = name.as_ref().filter(|name| !name.starts_with('/')) {
        let what = format!(
            "the name {name} has no slash before it: docker finds this container by its id only"
        );
        survey.problem(Severity::Warning, &config_path, what, "the name");
    }

    let mut row = record::Container {
        id,
        engine_id: cx.engine,
        full_id: full_id.clone(),
        source_id,
        hostconfig_source_id,
        ..record::Container::default()
    };
    identity(&mut row, &mut c, cx);
    state(&mut row, &mut c);
    program(&mut row, &mut c);
    isolation(&mut row, &mut c, &mut h);
    limits(&mut row, &mut h);
    if let Some(layers) = cx.layers.mounts.get(&full_id) {
        row.layer_id = layers.own;
        for (i, layer) in layers.stack.iter().enumerate() {
            survey.put(record::ContainerLayer {
                container_id: id,
                position: i as i64 + 1,
                layer_id: *layer,
            });
        }
        for (i, layer) in layers.before.iter().enumerate() {
            survey.put(record::ContainerBefore {
                container_id: id,
                position: i as i64 + 1,
                layer_id: *layer,
            });
        }
    }
    layers_known(survey, cx, &row);
    let (storage, driver) = (row.driver.clone(), row.log_driver.clone());
    let known = Known {
        driver: storage,
        loads_as: name.filter(|_| config.is_some() && refused.is_none()),
    };
    let log_path = row.log_path.clone();
    let has_run = row.started_at.is_some();
    survey.put(row);

    environment(survey, id, &mut c);
    ports(survey, id, &mut c, &mut h);
    mounts(survey, id, &mut c, cx);
    networks(survey, id, &mut c);
    survey.defects(Severity::Warning, &config_path, c.defects);
    survey.defects(Severity::Warning, &host_path, h.defects);
    let none = survey.logs.len();
    log::survey(survey, id, dir);
    if let (Some("json-file"), Some(path)) = (driver.as_deref(), log_path) {
        log::elsewhere(survey, dir, &config_path, &path);
    }
    if has_run && survey.logs.len() == none {
        // A log is made when a container starts, even an empty one.
        let gone = match driver.as_deref() {
            Some("json-file") => log::own(dir),
            Some("local") => dir.join("local-logs/container.log"),
            _ => return known,
        };
        survey.problem(
            Severity::Warning,
            &gone,
            "the log is not there, though the container has run: someone removed it",
            "all else of the container",
        );
    }
    known
}

/// What the layer store does not say of a container's layers, said. Without config.v2.json nobody knows its driver.
fn layers_known(survey: &mut Survey<'_>, cx: &Context<'_>, row: &record::Container) {
    let Some(driver) = row.driver.as_ref().filter(|d| cx.drivers.contains(d)) else {
        return;
    };
    let store = cx.root.join("image").join(driver).join("layerdb");
    let record = store.join("mounts").join(&row.full_id);
    let name = row.name.as_deref().unwrap_or(&row.full_id);
    let Some(layers) = cx.layers.mounts.get(&row.full_id) else {
        let what = format!(
            "the record of the layers of container {name} is gone: someone removed it; which layer is its own is not known"
        );
        let kept = "all else of the container; its layer, if it is still there, as one that no record knows";
        return survey.problem(Severity::Warning, &record, what, kept);
    };
    if let Some(own) = &layers.told {
        let what = format!(
            "the record of the layers of container {name} is gone: someone removed it; its own layer is {own}, as containerd says"
        );
        survey.problem(Severity::Warning, &record, what, "all of the container");
    }
    if let Some(departs) = &layers.departs {
        let what = format!(
            "container {name} stands on other layers than the records say: {}",
            departs.words()
        );
        let kept = "what the engine mounts: the layers that are there of those this file leads to";
        survey.problem(departs.severity(), &departs.lower, what, kept);
    }
    let there = layers.stack.len().saturating_sub(1);
    if let Some(below) = layers
        .below
        .filter(|n| *n > layers.named && layers.told.is_none() || *n > there)
    {
        let what = format!(
            "container {name} stands on {below} layers, as its own layer says, of which the records name {}",
            layers.named
        );
        let kept = if there == below {
            "all of them: the others as its own layer names them"
        } else {
            "those that are named and there"
        };
        survey.problem(Severity::Warning, &record, what, kept);
    }
}

fn identity(row: &mut record::Container, c: &mut Fields<'_>, cx: &Context<'_>) {
    row.name = c
        .text("Name")
        .map(|n| n.strip_prefix('/').map_or(n.clone(), str::to_owned));
    row.image_name = c.text("Config.Image");
    row.image_full_id = c.text("Image");
    row.image_id = row
        .image_full_id
        .as_ref()
        .and_then(|i| cx.images.get(i))
        .copied();
    row.created_at = c.time("Created");
    row.created = c.text("Created");
    row.driver = c.text("Driver");
    row.os = c.text("OS");
    row.log_path = c.text("LogPath");
    row.sandbox_id = c.text("NetworkSettings.SandboxID");
}

fn state(row: &mut record::Container, c: &mut Fields<'_>) {
    row.running = c.is("State.Running");
    row.paused = c.is("State.Paused");
    row.restarting = c.is("State.Restarting");
    row.removing = c.is("State.RemovalInProgress");
    row.dead = c.is("State.Dead");
    row.oom_killed = c.is("State.OOMKilled");
    row.pid = c.int("State.Pid");
    row.exit_code = c.int("State.ExitCode");
    row.error = c.text("State.Error");
    row.health = c.text("State.Health.Status");
    row.started_at = c.time("State.StartedAt");
    row.finished_at = c.time("State.FinishedAt");
    row.restart_count = c.int("RestartCount");
    row.started_before = c.flag("HasBeenStartedBefore");
    row.stopped_by_user = c.flag("HasBeenManuallyStopped");
    row.status = match () {
        // moby container/state.go, StateString
        () if c.get("State").is_none() => "unknown",
        () if row.running == 1 && row.paused == 1 => "paused",
        () if row.running == 1 && row.restarting == 1 => "restarting",
        () if row.running == 1 => "running",
        () if row.removing == 1 => "removing",
        () if row.dead == 1 => "dead",
        () if c.never("State.StartedAt") => "created",
        () => "exited",
    }
    .into();
}

fn program(row: &mut record::Container, c: &mut Fields<'_>) {
    row.path = c.text("Path");
    row.args = c.array("Args");
    row.entrypoint = c.array("Config.Entrypoint");
    row.cmd = c.array("Config.Cmd");
    row.user = c.text("Config.User");
    row.working_dir = c.text("Config.WorkingDir");
    row.hostname = c.text("Config.Hostname");
    row.domainname = c.text("Config.Domainname");
    row.tty = c.flag("Config.Tty");
    row.open_stdin = c.flag("Config.OpenStdin");
    row.stop_signal = c.text("Config.StopSignal");
    row.stop_timeout = c.int("Config.StopTimeout");
    row.healthcheck = c.json("Config.Healthcheck");
}

fn isolation(row: &mut record::Container, c: &mut Fields<'_>, h: &mut Fields<'_>) {
    row.privileged = h.flag("Privileged");
    row.readonly_rootfs = h.flag("ReadonlyRootfs");
    row.cap_add = h.array("CapAdd");
    row.cap_drop = h.array("CapDrop");
    row.security_opt = h.array("SecurityOpt");
    row.no_new_privileges = c.flag("NoNewPrivileges");
    row.apparmor_profile = c.text("AppArmorProfile");
    row.seccomp_profile = c.text("SeccompProfile");
    row.mount_label = c.text("MountLabel");
    row.process_label = c.text("ProcessLabel");
    row.network_mode = h.text("NetworkMode");
    row.pid_mode = h.text("PidMode");
    row.ipc_mode = h.text("IpcMode");
    row.uts_mode = h.text("UTSMode");
    row.userns_mode = h.text("UsernsMode");
    row.cgroupns_mode = h.text("CgroupnsMode");
    row.cgroup_parent = h.text("CgroupParent");
    row.devices = h.array("Devices");
    row.device_requests = h.array("DeviceRequests");
    row.device_rules = h.array("DeviceCgroupRules");
    row.group_add = h.array("GroupAdd");
    row.runtime = h.text("Runtime");
    row.init = h.flag("Init");
    row.sysctls = h.json("Sysctls");
    row.masked_paths = h.array("MaskedPaths");
    row.readonly_paths = h.array("ReadonlyPaths");
    row.restart_policy = h.text("RestartPolicy.Name");
    row.restart_max = h.int("RestartPolicy.MaximumRetryCount");
    row.auto_remove = h.flag("AutoRemove");
    row.binds = h.array("Binds");
    row.mounts_requested = h.array("Mounts");
    row.tmpfs = h.json("Tmpfs");
    row.volumes_from = h.array("VolumesFrom");
    row.publish_all = h.flag("PublishAllPorts");
    row.links = h.array("Links");
    row.dns = h.array("Dns");
    row.extra_hosts = h.array("ExtraHosts");
    row.log_driver = h.text("LogConfig.Type");
    row.log_in_files = row
        .log_driver
        .as_deref()
        .map(|d| i64::from(log::in_files(d)));
    row.log_options = h.json("LogConfig.Config");
}

fn limits(row: &mut record::Container, h: &mut Fields<'_>) {
    row.memory = h.int("Memory");
    row.memory_reservation = h.int("MemoryReservation");
    row.memory_swap = h.int("MemorySwap");
    row.nano_cpus = h.int("NanoCpus");
    row.cpu_shares = h.int("CpuShares");
    row.cpu_period = h.int("CpuPeriod");
    row.cpu_quota = h.int("CpuQuota");
    row.cpuset_cpus = h.text("CpusetCpus");
    row.cpuset_mems = h.text("CpusetMems");
    row.blkio_weight = h.int("BlkioWeight");
    row.pids_limit = h.int("PidsLimit");
    row.shm_size = h.int("ShmSize");
    row.oom_kill_disable = h.flag("OomKillDisable");
    row.oom_score_adj = h.int("OomScoreAdj");
    row.ulimits = h.array("Ulimits");
}

fn environment(survey: &mut Survey<'_>, container_id: i64, c: &mut Fields<'_>) {
    for (i, item) in c
        .items("Config.Env")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let (key, value) = item
            .split_once('=')
            .map_or((item, None), |(k, v)| (k, Some(v.to_owned())));
        survey.put(record::ContainerEnv {
            container_id,
            position: i as i64 + 1,
            key: key.into(),
            value,
        });
    }
    for (key, value) in c.members("Config.Labels") {
        let value = value.as_str().map(str::to_owned);
        survey.put(record::ContainerLabel {
            container_id,
            key: key.clone(),
            value,
        });
    }
}

/// `80/tcp`, `8000-8010/udp`, `53`: first port and protocol.
fn port_and_protocol(spec: &str) -> (Option<i64>, String) {
    let (port, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    (
        port.split('-').next().and_then(|p| p.parse().ok()),
        protocol.into(),
    )
}

fn ports(survey: &mut Survey<'_>, container_id: i64, c: &mut Fields<'_>, h: &mut Fields<'_>) {
    let mut rows = Vec::new();
    for (spec, _) in c.members("Config.ExposedPorts") {
        rows.push(("exposed", spec.clone(), None, None));
    }
    for (kind, members) in [
        ("requested", h.members("PortBindings")),
        ("active", c.members("NetworkSettings.Ports")),
    ] {
        for (spec, bindings) in members {
            let bindings = bindings.as_array().map(Vec::as_slice).unwrap_or_default();
            if bindings.is_empty() {
                rows.push((kind, spec.clone(), None, None));
            }
            for binding in bindings {
                let text = |key: &str| binding.get(key).and_then(Value::as_str).map(str::to_owned);
                rows.push((kind, spec.clone(), text("HostIp"), text("HostPort")));
            }
        }
    }
    for (kind, spec, host_ip, host_port) in rows {
        let (port, protocol) = port_and_protocol(&spec);
        let id = survey.next_id("container_port");
        survey.put(record::ContainerPort {
            id,
            container_id,
            kind: kind.into(),
            port,
            protocol,
            host_ip,
            host_port,
        });
    }
}

fn mounts(survey: &mut Survey<'_>, container_id: i64, c: &mut Fields<'_>, cx: &Context<'_>) {
    for (key, value) in c.members("MountPoints") {
        let mut m = Fields::new(value);
        let name = m.text("Name");
        // Before Docker 1.13 there was no Type: a volume had a name.
        let kind = m.text("Type").unwrap_or_else(|| {
            if name.is_some() {
                "volume".into()
            } else {
                "bind".into()
            }
        });
        let volume = name
            .as_ref()
            .filter(|_| kind == "volume")
            .and_then(|n| cx.volumes.get(n));
        let source = m
            .text("Source")
            .or_else(|| volume.and_then(|v| v.mount_point.clone()));
        let tree_id = match (&volume, kind.as_str(), &source) {
            (Some(v), ..) => v.tree,
            (None, "bind", Some(source)) => bind(survey, source),
            (None, "volume", Some(source)) => {
                survey.tree(Walked::Device, &EvidencePath::new(source), Marks::None)
            }
            _ => None,
        };
        let local = m.text("Driver").is_none_or(|d| d == "local");
        if kind == "volume" && local && volume.is_none() {
            // No engine removes a volume that a container has.
            let name = name.as_deref().unwrap_or_default();
            let path = cx.root.join("volumes").join(name.replace('/', "_"));
            let what = "the volume of a container is gone: someone removed it";
            survey.problem(Severity::Warning, &path, what, "the mount's record");
        }
        let id = survey.next_id("container_mount");
        survey.put(record::ContainerMount {
            id,
            container_id,
            kind,
            name,
            source,
            destination: m.text("Destination").unwrap_or_else(|| key.clone()),
            driver: m.text("Driver"),
            mode: m.text("Relabel"),
            rw: m.flag("RW"),
            propagation: m.text("Propagation"),
            volume_id: volume.map(|v| v.id),
            tree_id,
        });
        c.defects.append(&mut m.defects);
    }
}

/// The tree of a bind source. One that is not on the disk (a socket of a running daemon, say) is noted.
fn bind(survey: &mut Survey<'_>, source: &str) -> Option<i64> {
    let path = EvidencePath::new(source);
    let tree = survey.tree(Walked::Bind, &path, Marks::None);
    if tree.is_none() {
        survey.problem(
            Severity::Note,
            &path,
            "source of a bind mount, not on this disk",
            "the mount's record",
        );
    }
    tree
}

fn networks(survey: &mut Survey<'_>, container_id: i64, c: &mut Fields<'_>) {
    for (name, value) in c.members("NetworkSettings.Networks") {
        let mut n = Fields::new(value);
        // Docker 1.9 to 1.13 nested the settings one level deeper on disk.
        let row = record::ContainerNetwork {
            container_id,
            name: name.clone(),
            network_full_id: n.text("NetworkID"),
            renewed: i64::from(name == network::DEFAULT),
            endpoint_id: n.text("EndpointID"),
            gateway: n.text("Gateway"),
            ip_address: n.text("IPAddress"),
            ip_prefix_len: n.int("IPPrefixLen"),
            ipv6_gateway: n.text("IPv6Gateway"),
            ipv6_address: n.text("GlobalIPv6Address"),
            ipv6_prefix_len: n.int("GlobalIPv6PrefixLen"),
            mac_address: n.text("MacAddress"),
            aliases: n.array("Aliases"),
            links: n.array("Links"),
            dns_names: n.array("DNSNames"),
            ipam_config: n.json("IPAMConfig"),
        };
        survey.put(row);
        c.defects.append(&mut n.defects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_specs() {
        assert_eq!(port_and_protocol("80/tcp"), (Some(80), "tcp".into()));
        assert_eq!(port_and_protocol("53"), (Some(53), "tcp".into()));
        assert_eq!(
            port_and_protocol("8000-8010/udp"),
            (Some(8000), "udp".into())
        );
        assert_eq!(port_and_protocol("x/sctp"), (None, "sctp".into()));
    }
}
