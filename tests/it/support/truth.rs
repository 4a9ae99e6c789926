//! A case held against what an engine said of the same host: field by field, all differences at once.

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// An engine's answers.
#[derive(Default)]
pub struct Truth {
    /// `docker inspect` of every container.
    pub containers: Vec<Value>,
    /// `docker inspect` of every image.
    pub images: Vec<Value>,
    /// `/images/ID/history` by image id.
    pub history: BTreeMap<String, Vec<Value>>,
    /// `docker volume inspect`.
    pub volumes: Vec<Value>,
    /// `docker network inspect`.
    pub networks: Vec<Value>,
    /// `docker info`.
    pub info: Value,
    /// `docker logs -t`, stdout and stderr, by container name.
    pub logs: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
    /// `/containers/ID/changes` by container name.
    pub changes: BTreeMap<String, Vec<Value>>,
    /// Whether change times are those of the engine's own disk, or were lost in a copy.
    pub ctimes: bool,
    /// Docker 20.10: no newline behind the last part of a split line of the local driver, and a volume's creation is that
    /// of its `_data`, which moves with every change in it.
    pub docker20: bool,
    /// Containers that went on between the engine's answer and its end.
    pub moving: Vec<String>,
}

/// Compares, returning a line a difference.
pub fn differences(db: &Connection, truth: &Truth) -> Vec<String> {
    let mut d = Diff {
        db,
        found: Vec::new(),
    };
    d.containers(truth);
    d.images(truth);
    d.volumes(truth);
    d.networks(truth);
    d.host(truth);
    for (name, (out, err)) in &truth.logs {
        d.log(name, "stdout", out, truth.docker20);
        d.log(name, "stderr", err, truth.docker20);
    }
    for (name, changes) in &truth.changes {
        d.changes(name, changes);
    }
    d.found
}

struct Diff<'a> {
    db: &'a Connection,
    found: Vec<String>,
}

/// What says "none" is one thing: null, "", [], {}, 0 and false.
fn norm(v: &Value) -> Value {
    match v {
        Value::String(s) if s.is_empty() => Value::Null,
        Value::Array(a) if a.is_empty() => Value::Null,
        Value::Object(o) if o.is_empty() => Value::Null,
        Value::Bool(b) => norm(&json!(i64::from(*b))),
        Value::Number(n) if n.as_i64() == Some(0) => Value::Null,
        // Docker's zero time
        Value::String(s) if s.starts_with("0001-01-01T") => Value::Null,
        v => v.clone(),
    }
}

/// Columns of `container` and where `docker inspect` has the same. JSON columns end in `:json`, times in `:time`.
const CONTAINER: &[(&str, &str)] = &[
    ("created", "/Created"),
    ("created_at:time", "/Created"),
    ("path", "/Path"),
    ("args:json", "/Args"),
    ("status", "/State/Status"),
    ("running", "/State/Running"),
    ("paused", "/State/Paused"),
    ("restarting", "/State/Restarting"),
    ("oom_killed", "/State/OOMKilled"),
    ("dead", "/State/Dead"),
    ("pid", "/State/Pid"),
    ("exit_code", "/State/ExitCode"),
    ("error", "/State/Error"),
    ("started_at:time", "/State/StartedAt"),
    ("finished_at:time", "/State/FinishedAt"),
    ("image_full_id", "/Image"),
    ("log_path", "/LogPath"),
    ("restart_count", "/RestartCount"),
    ("driver", "/Driver"),
    ("os", "/Platform"),
    ("mount_label", "/MountLabel"),
    ("process_label", "/ProcessLabel"),
    ("apparmor_profile", "/AppArmorProfile"),
    ("binds:json", "/HostConfig/Binds"),
    ("log_driver", "/HostConfig/LogConfig/Type"),
    ("log_options:json", "/HostConfig/LogConfig/Config"),
    ("network_mode", "/HostConfig/NetworkMode"),
    ("restart_policy", "/HostConfig/RestartPolicy/Name"),
    ("restart_max", "/HostConfig/RestartPolicy/MaximumRetryCount"),
    ("auto_remove", "/HostConfig/AutoRemove"),
    ("volumes_from:json", "/HostConfig/VolumesFrom"),
    ("cap_add:json", "/HostConfig/CapAdd"),
    ("cap_drop:json", "/HostConfig/CapDrop"),
    ("cgroupns_mode", "/HostConfig/CgroupnsMode"),
    ("dns:json", "/HostConfig/Dns"),
    ("extra_hosts:json", "/HostConfig/ExtraHosts"),
    ("group_add:json", "/HostConfig/GroupAdd"),
    ("ipc_mode", "/HostConfig/IpcMode"),
    ("oom_score_adj", "/HostConfig/OomScoreAdj"),
    ("pid_mode", "/HostConfig/PidMode"),
    ("privileged", "/HostConfig/Privileged"),
    ("publish_all", "/HostConfig/PublishAllPorts"),
    ("readonly_rootfs", "/HostConfig/ReadonlyRootfs"),
    ("security_opt:json", "/HostConfig/SecurityOpt"),
    ("uts_mode", "/HostConfig/UTSMode"),
    ("userns_mode", "/HostConfig/UsernsMode"),
    ("shm_size", "/HostConfig/ShmSize"),
    ("runtime", "/HostConfig/Runtime"),
    ("init", "/HostConfig/Init"),
    ("sysctls:json", "/HostConfig/Sysctls"),
    ("tmpfs:json", "/HostConfig/Tmpfs"),
    ("mounts_requested:json", "/HostConfig/Mounts"),
    ("cpu_shares", "/HostConfig/CpuShares"),
    ("memory", "/HostConfig/Memory"),
    ("nano_cpus", "/HostConfig/NanoCpus"),
    ("cgroup_parent", "/HostConfig/CgroupParent"),
    ("blkio_weight", "/HostConfig/BlkioWeight"),
    ("cpu_period", "/HostConfig/CpuPeriod"),
    ("cpu_quota", "/HostConfig/CpuQuota"),
    ("cpuset_cpus", "/HostConfig/CpusetCpus"),
    ("cpuset_mems", "/HostConfig/CpusetMems"),
    ("devices:json", "/HostConfig/Devices"),
    ("device_rules:json", "/HostConfig/DeviceCgroupRules"),
    ("device_requests:json", "/HostConfig/DeviceRequests"),
    ("memory_reservation", "/HostConfig/MemoryReservation"),
    ("memory_swap", "/HostConfig/MemorySwap"),
    ("oom_kill_disable", "/HostConfig/OomKillDisable"),
    ("pids_limit", "/HostConfig/PidsLimit"),
    ("ulimits:json", "/HostConfig/Ulimits"),
    ("masked_paths:json", "/HostConfig/MaskedPaths"),
    ("readonly_paths:json", "/HostConfig/ReadonlyPaths"),
    ("hostname", "/Config/Hostname"),
    ("domainname", "/Config/Domainname"),
    ("user", "/Config/User"),
    ("tty", "/Config/Tty"),
    ("open_stdin", "/Config/OpenStdin"),
    ("cmd:json", "/Config/Cmd"),
    ("healthcheck:json", "/Config/Healthcheck"),
    ("image_name", "/Config/Image"),
    ("working_dir", "/Config/WorkingDir"),
    ("entrypoint:json", "/Config/Entrypoint"),
    ("stop_signal", "/Config/StopSignal"),
    ("stop_timeout", "/Config/StopTimeout"),
    ("sandbox_id", "/NetworkSettings/SandboxID"),
];

/// Fields that move while a container restarts.
const VOLATILE: &[&str] = &[
    "status",
    "running",
    "restarting",
    "pid",
    "exit_code",
    "started_at:time",
    "finished_at:time",
    "restart_count",
    "sandbox_id",
];

const IMAGE: &[(&str, &str)] = &[
    ("created_at:time", "/Created"),
    ("os", "/Os"),
    ("os_version", "/OsVersion"),
    ("architecture", "/Architecture"),
    ("variant", "/Variant"),
    ("author", "/Author"),
    ("parent_full_id", "/Parent"),
    ("docker_version", "/DockerVersion"),
    ("size", "/Size"),
    ("last_tagged_at:time", "/Metadata/LastTagTime"),
    ("entrypoint:json", "/Config/Entrypoint"),
    ("cmd:json", "/Config/Cmd"),
    ("env:json", "/Config/Env"),
    ("user", "/Config/User"),
    ("working_dir", "/Config/WorkingDir"),
    ("exposed_ports:json", "/Config/ExposedPorts"),
    ("volumes:json", "/Config/Volumes"),
    ("labels:json", "/Config/Labels"),
    ("stop_signal", "/Config/StopSignal"),
    ("healthcheck:json", "/Config/Healthcheck"),
];

impl Diff<'_> {
    fn say(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }

    fn equal(&mut self, what: &str, ours: &Value, theirs: &Value) {
        let (a, b) = (norm(ours), norm(theirs));
        if a != b {
            self.say(format!("{what}: case {a}, engine {b}"));
        }
    }

    fn rows(&self, sql: &str, args: &[&str]) -> Vec<Vec<Value>> {
        let mut stmt = self
            .db
            .prepare(sql)
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        let n = stmt.column_count();
        let value = |v: Sql| match v {
            Sql::Null => Value::Null,
            Sql::Integer(i) => json!(i),
            Sql::Real(x) => json!(x),
            Sql::Text(s) => json!(s),
            Sql::Blob(b) => json!(String::from_utf8_lossy(&b)),
        };
        stmt.query_map(rusqlite::params_from_iter(args), |r| {
            (0..n).map(|i| r.get(i).map(value)).collect()
        })
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap()
    }

    fn fields(
        &mut self,
        table: &str,
        full_id: &str,
        label: &str,
        fields: &[(&str, &str)],
        theirs: &Value,
        skip: &[&str],
    ) {
        for (column, at) in fields {
            if skip.contains(column) {
                continue;
            }
            let (name, kind) = column.split_once(':').unwrap_or((column, ""));
            let rows = self.rows(
                &format!("SELECT {name} FROM {table} WHERE full_id = ?"),
                &[full_id],
            );
            let Some(ours) = rows.first().map(|r| r[0].clone()) else {
                return self.say(format!("{label}: not in the case"));
            };
            let want = theirs.pointer(at).cloned().unwrap_or(Value::Null);
            let (ours, want) = match kind {
                "json" => (parse(&ours), want),
                "time" => (
                    ours,
                    want.as_str()
                        .and_then(nanoseconds)
                        .map_or(Value::Null, |n| json!(n)),
                ),
                _ => (ours, want),
            };
            self.equal(&format!("{label} {name}"), &ours, &want);
        }
    }

    fn same_set(&mut self, what: &str, ours: Vec<Value>, theirs: Vec<Value>) {
        let sort = |v: Vec<Value>| {
            let mut v: Vec<String> = v.iter().map(Value::to_string).collect();
            v.sort();
            v
        };
        let (a, b) = (sort(ours), sort(theirs));
        if a != b {
            let only = |x: &[String], y: &[String]| {
                x.iter()
                    .filter(|i| !y.contains(i))
                    .take(5)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            self.say(format!(
                "{what}: only in the case: {}; only by the engine: {}",
                only(&a, &b),
                only(&b, &a)
            ));
        }
    }

    fn containers(&mut self, truth: &Truth) {
        let ours = self
            .rows("SELECT full_id FROM container", &[])
            .into_iter()
            .map(|r| r[0].clone())
            .collect();
        self.same_set(
            "containers",
            ours,
            truth.containers.iter().map(|c| c["Id"].clone()).collect(),
        );
        for c in &truth.containers {
            let (id, label) = (text(&c["Id"]), text(&c["Name"]));
            let moving = c["State"]["Restarting"] == json!(true) || truth.moving.contains(&label);
            self.fields(
                "container",
                &id,
                &label,
                CONTAINER,
                c,
                if moving { VOLATILE } else { &[] },
            );
            self.equal(
                &format!("{label} name"),
                &json!(self.rows(
                    "SELECT '/' || name FROM container WHERE full_id = ?",
                    &[&id]
                )),
                &json!([[label]]),
            );

            let env = self.rows("SELECT e.key || coalesce('=' || e.value, '') FROM container_env e JOIN container c ON c.id = e.container_id WHERE c.full_id = ? ORDER BY e.position", &[&id]);
            self.equal(&format!("{label} env"), &flat(env), &c["Config"]["Env"]);
            let labels = self.rows("SELECT l.key, l.value FROM container_label l JOIN container c ON c.id = l.container_id WHERE c.full_id = ?", &[&id]);
            self.same_set(
                &format!("{label} labels"),
                labels.into_iter().map(Value::from).collect(),
                members(&c["Config"]["Labels"])
                    .map(|(k, v)| json!([k, v]))
                    .collect(),
            );
            if !moving {
                self.ports(&id, &label, "active", &c["NetworkSettings"]["Ports"]);
            }
            self.ports(&id, &label, "requested", &c["HostConfig"]["PortBindings"]);
            let exposed: Map<String, Value> = members(&c["Config"]["ExposedPorts"])
                .map(|(k, _)| (k.clone(), Value::Null))
                .collect();
            self.ports(&id, &label, "exposed", &Value::Object(exposed));

            let mounts = self.rows(
                "SELECT m.kind, coalesce(m.name, ''), coalesce(m.source, ''), m.destination, coalesce(m.driver, ''), coalesce(m.mode, ''), m.rw, coalesce(m.propagation, '')
                   FROM container_mount m JOIN container c ON c.id = m.container_id WHERE c.full_id = ?",
                &[&id],
            );
            let theirs = c["Mounts"].as_array().cloned().unwrap_or_default();
            let theirs = theirs.iter().map(|m| {
                json!([
                    m["Type"],
                    text(&m["Name"]),
                    text(&m["Source"]),
                    m["Destination"],
                    text(&m["Driver"]),
                    text(&m["Mode"]),
                    i64::from(m["RW"] == json!(true)),
                    text(&m["Propagation"])
                ])
            });
            self.same_set(
                &format!("{label} mounts"),
                mounts.into_iter().map(Value::from).collect(),
                theirs.collect(),
            );

            // A start that failed leaves addresses on the disk that the engine has given back.
            if !moving && norm(&c["State"]["Error"]).is_null() {
                let networks = self.rows(
                    "SELECT n.name, coalesce(network_full_id, ''), coalesce(endpoint_id, ''), coalesce(gateway, ''), coalesce(ip_address, ''), coalesce(ip_prefix_len, 0),
                            coalesce(ipv6_gateway, ''), coalesce(ipv6_address, ''), coalesce(ipv6_prefix_len, 0), coalesce(mac_address, '')
                       FROM container_network n JOIN container c ON c.id = n.container_id WHERE c.full_id = ?",
                    &[&id],
                );
                let theirs = members(&c["NetworkSettings"]["Networks"]).map(|(k, n)| {
                    json!([
                        k,
                        text(&n["NetworkID"]),
                        text(&n["EndpointID"]),
                        text(&n["Gateway"]),
                        text(&n["IPAddress"]),
                        n["IPPrefixLen"],
                        text(&n["IPv6Gateway"]),
                        text(&n["GlobalIPv6Address"]),
                        n["GlobalIPv6PrefixLen"],
                        text(&n["MacAddress"])
                    ])
                });
                self.same_set(
                    &format!("{label} networks"),
                    networks.into_iter().map(Value::from).collect(),
                    theirs.collect(),
                );
            }
            self.stack(&id, &label, &c["GraphDriver"]["Data"]);
        }
    }

    fn ports(&mut self, id: &str, label: &str, kind: &str, theirs: &Value) {
        let ours = self.rows("SELECT p.port || '/' || p.protocol, p.host_ip, p.host_port FROM container_port p JOIN container c ON c.id = p.container_id WHERE c.full_id = ? AND p.kind = ?", &[id, kind]);
        let mut want = Vec::new();
        for (spec, bindings) in members(theirs) {
            let bindings = bindings.as_array().cloned().unwrap_or_default();
            if bindings.is_empty() {
                want.push(json!([spec, null, null]));
            }
            want.extend(
                bindings
                    .iter()
                    .map(|b| json!([spec, b["HostIp"], b["HostPort"]])),
            );
        }
        self.same_set(
            &format!("{label} {kind} ports"),
            ours.into_iter().map(Value::from).collect(),
            want,
        );
    }

    /// The layer stack as overlay2 mounts it: LowerDir lists it topmost first.
    fn stack(&mut self, id: &str, label: &str, data: &Value) {
        let Some(upper) = data["UpperDir"].as_str() else {
            return;
        };
        let ours = self.rows("SELECT l.host_path FROM container_layer cl JOIN container c ON c.id = cl.container_id JOIN layer l ON l.id = cl.layer_id WHERE c.full_id = ? ORDER BY cl.position DESC", &[id]);
        let mut want = vec![json!(upper)];
        want.extend(text(&data["LowerDir"]).split(':').map(|p| json!(p)));
        self.equal(
            &format!("{label} layer stack"),
            &flat(ours),
            &Value::from(want),
        );
        let own = self.rows("SELECT json_array(l.host_path, l.mount_point, l.below) FROM container c JOIN layer l ON l.id = c.layer_id WHERE c.full_id = ?", &[id]);
        let own: Vec<Value> = own.iter().map(|r| parse(&r[0])).collect();
        let below = text(&data["LowerDir"]).split(':').count();
        let told = json!([[upper, data["MergedDir"], below]]);
        self.equal(&format!("{label} own layer"), &Value::from(own), &told);
    }

    fn images(&mut self, truth: &Truth) {
        let ours = self
            .rows("SELECT full_id FROM image", &[])
            .into_iter()
            .map(|r| r[0].clone())
            .collect();
        self.same_set(
            "images",
            ours,
            truth.images.iter().map(|c| c["Id"].clone()).collect(),
        );
        for i in &truth.images {
            let id = text(&i["Id"]);
            let label = &id[..19.min(id.len())];
            self.fields("image", &id, label, IMAGE, i, &[]);
            for (kind, key) in [("tag", "RepoTags"), ("digest", "RepoDigests")] {
                let ours = self.rows(&format!("SELECT r.reference FROM image_reference r JOIN image i ON i.id = r.image_id WHERE i.full_id = ? AND r.{kind} IS NOT NULL"), &[&id]);
                self.same_set(
                    &format!("{label} {kind}s"),
                    ours.into_iter().map(|mut r| r.remove(0)).collect(),
                    i[key].as_array().cloned().unwrap_or_default(),
                );
            }
            let diff_ids = self.rows("SELECT l.diff_id FROM image_layer l JOIN image i ON i.id = l.image_id WHERE i.full_id = ? ORDER BY l.position", &[&id]);
            self.equal(
                &format!("{label} diff IDs"),
                &flat(diff_ids),
                &i["RootFS"]["Layers"],
            );
            if let Some(upper) = i["GraphDriver"]["Data"]["UpperDir"].as_str() {
                let ours = self.rows("SELECT y.host_path FROM image_layer l JOIN image i ON i.id = l.image_id JOIN layer y ON y.id = l.layer_id WHERE i.full_id = ? ORDER BY l.position DESC", &[&id]);
                let mut want = vec![json!(upper)];
                want.extend(
                    i["GraphDriver"]["Data"]["LowerDir"]
                        .as_str()
                        .into_iter()
                        .flat_map(|l| l.split(':'))
                        .map(|p| json!(p)),
                );
                self.equal(
                    &format!("{label} layer stack"),
                    &flat(ours),
                    &Value::from(want),
                );
            }
            if let Some(steps) = truth.history.get(&id) {
                let sql = std::fs::read_to_string(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/queries/image-history.sql"
                ))
                .unwrap();
                let mut stmt = self.db.prepare(&sql).unwrap();
                let ours: Vec<Value> = stmt
                    .query_map([&id], |r| {
                        Ok(json!([
                            r.get::<_, String>("id")?,
                            r.get::<_, Option<String>>("created_by")?
                                .unwrap_or_default(),
                            r.get::<_, Option<i64>>("size")?,
                            r.get::<_, Option<String>>("comment")?.unwrap_or_default()
                        ]))
                    })
                    .unwrap()
                    .collect::<rusqlite::Result<_>>()
                    .unwrap();
                let want: Vec<Value> = steps
                    .iter()
                    .rev()
                    .map(|s| json!([s["Id"], s["CreatedBy"], s["Size"], s["Comment"]]))
                    .collect();
                self.equal(
                    &format!("{label} history"),
                    &Value::from(ours),
                    &Value::from(want),
                );
                let ours = flat(self.rows("SELECT h.created_at / 1000000000 FROM image_history h JOIN image i ON i.id = h.image_id WHERE i.full_id = ? ORDER BY position DESC", &[&id]));
                let want: Vec<Value> = steps.iter().map(|s| s["Created"].clone()).collect();
                self.equal(&format!("{label} history times"), &ours, &Value::from(want));
            }
        }
    }

    fn volumes(&mut self, truth: &Truth) {
        let ours = self
            .rows("SELECT name FROM volume", &[])
            .into_iter()
            .map(|r| r[0].clone())
            .collect();
        self.same_set(
            "volumes",
            ours,
            truth.volumes.iter().map(|v| v["Name"].clone()).collect(),
        );
        for v in &truth.volumes {
            let name = text(&v["Name"]);
            let row = self.rows("SELECT driver, mount_point, labels, options, created_at / 1000000000, anonymous FROM volume WHERE name = ?", &[&name]);
            let Some(row) = row.first() else { continue };
            self.equal(&format!("volume {name} driver"), &row[0], &v["Driver"]);
            self.equal(
                &format!("volume {name} mount point"),
                &row[1],
                &v["Mountpoint"],
            );
            self.equal(
                &format!("volume {name} labels"),
                &parse(&row[2]),
                &v["Labels"],
            );
            self.equal(
                &format!("volume {name} options"),
                &parse(&row[3]),
                &v["Options"],
            );
            if truth.ctimes && !truth.docker20 {
                let want = nanoseconds(&text(&v["CreatedAt"])).map(|n| n / 1_000_000_000);
                self.equal(&format!("volume {name} created"), &row[4], &json!(want));
            }
        }
    }

    fn networks(&mut self, truth: &Truth) {
        for n in truth
            .networks
            .iter()
            .filter(|n| n["Scope"] == json!("local"))
        {
            let id = text(&n["Id"]);
            let row = self.rows("SELECT name, driver, scope, created_at, internal, attachable, ingress, ipv6, ipam, options, labels FROM network WHERE full_id = ?", &[&id]);
            let name = text(&n["Name"]);
            let Some(row) = row.first() else {
                self.say(format!("network {name}: not in the case"));
                continue;
            };
            let want = [
                ("Name", 0),
                ("Driver", 1),
                ("Scope", 2),
                ("Internal", 4),
                ("Attachable", 5),
                ("Ingress", 6),
                ("EnableIPv6", 7),
            ];
            for (key, at) in want {
                self.equal(&format!("network {name} {key}"), &row[at], &n[key]);
            }
            self.equal(
                &format!("network {name} created"),
                &row[3],
                &json!(nanoseconds(&text(&n["Created"]))),
            );
            self.equal(
                &format!("network {name} options"),
                &parse(&row[9]),
                &n["Options"],
            );
            self.equal(
                &format!("network {name} labels"),
                &parse(&row[10]),
                &n["Labels"],
            );
            // Docker 20.10 leaves a gateway out that it chose itself.
            let theirs = n["IPAM"]["Config"].as_array().cloned().unwrap_or_default();
            let ours = parse(&row[8]).as_array().cloned().unwrap_or_default();
            self.equal(
                &format!("network {name} number of subnets"),
                &json!(ours.len()),
                &json!(theirs.len()),
            );
            for (ours, theirs) in ours.iter().zip(&theirs) {
                self.equal(
                    &format!("network {name} subnet"),
                    &ours["Subnet"],
                    &theirs["Subnet"],
                );
                if theirs["Gateway"].is_string() {
                    self.equal(
                        &format!("network {name} gateway"),
                        &ours["Gateway"],
                        &theirs["Gateway"],
                    );
                }
            }
        }
    }

    fn host(&mut self, truth: &Truth) {
        let row = self.rows("SELECT h.name, e.engine_id, e.driver, e.daemon_version, s.node_id, s.role FROM host h JOIN engine e ON e.host_id = h.id LEFT JOIN swarm_node s ON s.engine_id = e.id", &[]).remove(0);
        self.equal("host name", &row[0], &truth.info["Name"]);
        self.equal("engine id", &row[1], &truth.info["ID"]);
        self.equal("storage driver", &row[2], &truth.info["Driver"]);
        if !row[3].is_null() {
            self.equal("daemon version", &row[3], &truth.info["ServerVersion"]);
        }
        self.equal("swarm node", &row[4], &truth.info["Swarm"]["NodeID"]);
        if !row[5].is_null() {
            let manager = truth.info["Swarm"]["ControlAvailable"] == json!(true);
            self.equal(
                "swarm role",
                &row[5],
                &json!(if manager { "manager" } else { "worker" }),
            );
        }
        // What the engine counts: running is `docker info`'s, which leaves paused and restarting ones out.
        let status: Vec<Value> = self.rows("SELECT (SELECT count(*) FROM container), (SELECT count(*) FROM container WHERE status = 'paused'), (SELECT count(*) FROM image)", &[]).remove(0);
        for (at, key) in ["Containers", "ContainersPaused", "Images"]
            .iter()
            .enumerate()
        {
            self.equal(key, &status[at], &truth.info[*key]);
        }
    }

    /// `docker logs -t`: the time with nine digits, a blank, the line, and a newline unless it goes on. The query `logs` has the
    /// entries of a container in that order.
    fn log(&mut self, name: &str, stream: &str, theirs: &[u8], docker20: bool) {
        let mut logs = dof::query::find("logs").unwrap().prepare(self.db).unwrap();
        let full_id: String = self
            .db
            .query_row(
                "SELECT full_id FROM container WHERE name = ?",
                [name],
                |r| r.get(0),
            )
            .unwrap();
        let asked = [(":container", &full_id[..]), (":stream", stream)];
        let mut stmt = self
            .db
            .prepare("SELECT g.ts, g.line, g.partial, g.raw, lf.format FROM log_entry g JOIN log_file lf ON lf.id = g.log_file_id WHERE g.id = ?")
            .unwrap();
        let mut ours = Vec::new();
        let mut is_local = false;
        let mut entries = logs.query(&asked[..]).unwrap();
        while let Some(entry) = entries.next().unwrap() {
            let id: i64 = entry.get("entry_id").unwrap();
            let mut rows = stmt.query([id]).unwrap();
            let r = rows.next().unwrap().unwrap();
            let ts: i64 = r.get(0).unwrap();
            let time = chrono::DateTime::from_timestamp_nanos(ts)
                .format("%Y-%m-%dT%H:%M:%S%.9fZ ")
                .to_string();
            ours.extend_from_slice(time.as_bytes());
            let raw: Option<Vec<u8>> = r.get(3).unwrap();
            is_local = r.get::<_, String>(4).unwrap() == "local";
            match raw {
                Some(raw) if is_local => ours.extend_from_slice(&raw),
                // The column has NUL written out.
                Some(raw) => {
                    let mut scratch = String::new();
                    let entry = dof::parse::json_log::parse(&raw, &mut scratch).unwrap();
                    ours.extend_from_slice(entry.line.trim_end_matches('\n').as_bytes());
                }
                None => ours.extend_from_slice(r.get::<_, String>(1).unwrap().as_bytes()),
            }
            if !r.get::<_, bool>(2).unwrap() {
                ours.push(b'\n');
            }
        }
        let mut theirs = utc(theirs);
        if is_local && docker20 {
            ours.retain(|&b| b != b'\n');
            theirs.retain(|&b| b != b'\n');
        }
        if ours != theirs {
            let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            let near = |b: &[u8]| {
                String::from_utf8_lossy(&b[at.saturating_sub(40)..(at + 60).min(b.len())])
                    .into_owned()
            };
            self.say(format!(
                "{name} {stream}: {} bytes, engine {}; differ at {at}: {:?} / {:?}",
                ours.len(),
                theirs.len(),
                near(&ours),
                near(&theirs)
            ));
        }
    }

    fn changes(&mut self, name: &str, theirs: &[Value]) {
        let ours = self.rows("SELECT f.path, f.change_type FROM docker_container_fs_changes f JOIN container c ON c.full_id = f.id WHERE c.name = ?", &[name]);
        let kind = |k: &Value| ["C", "A", "D"][k.as_u64().unwrap_or(0) as usize];
        // Names that are not UTF-8 reach JSON as U+FFFD, and the case as \xNN.
        let plain = |p: &str| !p.contains(['\u{fffd}', '\\']);
        let ours = ours
            .into_iter()
            .map(Value::from)
            .filter(|v| plain(&text(&v[0])))
            .collect();
        let theirs = theirs
            .iter()
            .map(|c| json!([c["Path"], kind(&c["Kind"])]))
            .filter(|v| plain(&text(&v[0])))
            .collect();
        self.same_set(&format!("{name} changes"), ours, theirs);
    }
}

fn text(v: &Value) -> String {
    v.as_str().unwrap_or_default().to_owned()
}

fn parse(v: &Value) -> Value {
    v.as_str()
        .and_then(|s| serde_json::from_str(s).ok())
        .unwrap_or(Value::Null)
}

fn flat(rows: Vec<Vec<Value>>) -> Value {
    rows.into_iter().map(|mut r| r.remove(0)).collect()
}

fn members(v: &Value) -> impl Iterator<Item = (&String, &Value)> {
    v.as_object().into_iter().flatten()
}

fn nanoseconds(s: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(s)
        .ok()
        .filter(|t| t.timestamp() > -62_000_000_000)?
        .timestamp_nanos_opt()
}

/// Docker 20.10 gives the local driver's times in the daemon's zone: `...+01:00 ` to UTC.
fn utc(log: &[u8]) -> Vec<u8> {
    const LEN: usize = "2026-11-24T03:42:46.743253208+01:00".len();
    let mut out = Vec::with_capacity(log.len());
    let mut at = 0;
    while at < log.len() {
        let time = log
            .get(at..at + LEN)
            .filter(|t| t[0].is_ascii_digit() && t[10] == b'T' && matches!(t[29], b'+' | b'-'))
            .and_then(|t| chrono::DateTime::parse_from_rfc3339(std::str::from_utf8(t).ok()?).ok());
        match time {
            Some(t) => {
                out.extend_from_slice(
                    t.to_utc()
                        .format("%Y-%m-%dT%H:%M:%S%.9fZ")
                        .to_string()
                        .as_bytes(),
                );
                at += LEN;
            }
            None => {
                out.push(log[at]);
                at += 1;
            }
        }
    }
    out
}
