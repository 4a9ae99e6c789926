//! The types that Docker decodes its documents into, after moby 20.10 to 28: which names are fields of structs, which are
//! keys of maps, and which values `null` empties. Fields that dof does not read are here too where a wrong type in them
//! makes the engine refuse the document.

use crate::parse::json::Document;
use crate::parse::json::Shape::{
    self, Any, Bool, Int, List, Map, Pointer, Struct, Text, Time, Uint, Words,
};

const TEXTS: Shape = List(&Text);
const TEXT_MAP: Shape = Map(&Text);
const EMPTY: Shape = Struct(&[]);
/// nat.PortSet and the volumes of a config: map[string]struct{}.
const SET: Shape = Map(&EMPTY);
/// nat.PortMap.
const PORTS: Shape = Map(&List(&Struct(&[("HostIp", Text), ("HostPort", Text)])));

/// `config.v2.json`: container.Container, read by its FromDisk. Its `HostConfig` is no field of the file.
pub const CONTAINER: Document = Document {
    shape: Struct(&[
        ("StreamConfig", Pointer(&EMPTY)),
        ("State", Pointer(&STATE)),
        ("ID", Text),
        ("Created", Time),
        ("Managed", Bool),
        ("Path", Text),
        ("Args", TEXTS),
        ("Config", Pointer(&CONFIG)),
        ("Image", Text),
        ("NetworkSettings", Pointer(&NETWORK_SETTINGS)),
        ("LogPath", Text),
        ("Name", Text),
        ("Driver", Text),
        ("OS", Text),
        ("MountLabel", Text),
        ("ProcessLabel", Text),
        ("RestartCount", Int),
        ("HasBeenStartedBefore", Bool),
        ("HasBeenManuallyStopped", Bool),
        ("MountPoints", Map(&Pointer(&MOUNT_POINT))),
        ("SecretReferences", List(&Pointer(&EMPTY))),
        ("ConfigReferences", List(&Pointer(&EMPTY))),
        ("AppArmorProfile", Text),
        ("HostnamePath", Text),
        ("HostsPath", Text),
        ("ShmPath", Text),
        ("ResolvConfPath", Text),
        ("SeccompProfile", Text),
        ("NoNewPrivileges", Bool),
        ("SharedEndpointList", TEXTS),
        ("LocalLogCacheMeta", Struct(&[("HaveNotifyEnabled", Bool)])),
    ]),
    whole: false,
    strict: false,
};

/// container.State (container/state.go).
const STATE: Shape = Struct(&[
    ("Running", Bool),
    ("Paused", Bool),
    ("Restarting", Bool),
    ("OOMKilled", Bool),
    ("RemovalInProgress", Bool),
    ("Dead", Bool),
    ("Pid", Int),
    ("ExitCode", Int),
    ("Error", Text),
    ("StartedAt", Time),
    ("FinishedAt", Time),
    (
        "Health",
        Pointer(&Struct(&[
            ("Status", Text),
            ("FailingStreak", Int),
            (
                "Log",
                List(&Pointer(&Struct(&[
                    ("Start", Time),
                    ("End", Time),
                    ("ExitCode", Int),
                    ("Output", Text),
                ]))),
            ),
        ])),
    ),
]);

/// container.Config (api/types/container/config.go).
const CONFIG: Shape = Struct(&[
    ("Hostname", Text),
    ("Domainname", Text),
    ("User", Text),
    ("AttachStdin", Bool),
    ("AttachStdout", Bool),
    ("AttachStderr", Bool),
    ("ExposedPorts", SET),
    ("Tty", Bool),
    ("OpenStdin", Bool),
    ("StdinOnce", Bool),
    ("Env", TEXTS),
    ("Cmd", Words),
    (
        "Healthcheck",
        Pointer(&Struct(&[
            ("Test", TEXTS),
            ("Interval", Int),
            ("Timeout", Int),
            ("StartPeriod", Int),
            ("StartInterval", Int),
            ("Retries", Int),
        ])),
    ),
    ("ArgsEscaped", Bool),
    ("Image", Text),
    ("Volumes", SET),
    ("WorkingDir", Text),
    ("Entrypoint", Words),
    ("NetworkDisabled", Bool),
    ("MacAddress", Text),
    ("OnBuild", TEXTS),
    ("Labels", TEXT_MAP),
    ("StopSignal", Text),
    ("StopTimeout", Pointer(&Int)),
    ("Shell", Words),
]);

/// network.Settings (daemon/network/settings.go); endpoints have the fields of the embedded
/// api/types/network.EndpointSettings.
const NETWORK_SETTINGS: Shape = Struct(&[
    ("Bridge", Text),
    ("SandboxID", Text),
    ("HairpinMode", Bool),
    ("LinkLocalIPv6Address", Text),
    ("LinkLocalIPv6PrefixLen", Int),
    (
        "Networks",
        Map(&Pointer(&Struct(&[
            (
                "IPAMConfig",
                Pointer(&Struct(&[
                    ("IPv4Address", Text),
                    ("IPv6Address", Text),
                    ("LinkLocalIPs", TEXTS),
                ])),
            ),
            ("Links", TEXTS),
            ("Aliases", TEXTS),
            ("NetworkID", Text),
            ("EndpointID", Text),
            ("Gateway", Text),
            ("IPAddress", Text),
            ("IPPrefixLen", Int),
            ("IPv6Gateway", Text),
            ("GlobalIPv6Address", Text),
            ("GlobalIPv6PrefixLen", Int),
            ("MacAddress", Text),
            ("DriverOpts", TEXT_MAP),
            ("DNSNames", TEXTS),
            ("IPAMOperational", Bool),
        ]))),
    ),
    ("Service", Pointer(&EMPTY)),
    ("Ports", PORTS),
    ("SandboxKey", Text),
    ("SecondaryIPAddresses", List(&ADDRESS)),
    ("SecondaryIPv6Addresses", List(&ADDRESS)),
    ("IsAnonymousEndpoint", Bool),
    ("HasSwarmEndpoint", Bool),
]);

const ADDRESS: Shape = Struct(&[("Addr", Text), ("PrefixLen", Int)]);

/// mounts.MountPoint (volume/mounts/mounts.go).
const MOUNT_POINT: Shape = Struct(&[
    ("Source", Text),
    ("Destination", Text),
    ("RW", Bool),
    ("Name", Text),
    ("Driver", Text),
    ("Type", Text),
    ("Relabel", Text),
    ("Propagation", Text),
    ("ID", Text),
    ("Spec", MOUNT),
    ("SkipMountpointCreation", Bool),
]);

/// mount.Mount (api/types/mount/mount.go).
const MOUNT: Shape = Struct(&[
    ("Type", Text),
    ("Source", Text),
    ("Target", Text),
    ("ReadOnly", Bool),
    ("Consistency", Text),
    (
        "BindOptions",
        Pointer(&Struct(&[("Propagation", Text), ("NonRecursive", Bool)])),
    ),
    (
        "VolumeOptions",
        Pointer(&Struct(&[
            ("NoCopy", Bool),
            ("Labels", TEXT_MAP),
            (
                "DriverConfig",
                Pointer(&Struct(&[("Name", Text), ("Options", TEXT_MAP)])),
            ),
        ])),
    ),
    (
        "TmpfsOptions",
        Pointer(&Struct(&[("SizeBytes", Int), ("Mode", Uint(32))])),
    ),
]);

const WEIGHTS: Shape = List(&Pointer(&Struct(&[("Path", Text), ("Weight", Uint(16))])));
const RATES: Shape = List(&Pointer(&Struct(&[("Path", Text), ("Rate", Uint(64))])));

/// `hostconfig.json`: container.HostConfig (api/types/container/hostconfig.go), read by readHostConfig.
pub const HOST_CONFIG: Document = Document {
    shape: Struct(&[
        ("Binds", TEXTS),
        ("ContainerIDFile", Text),
        ("LogConfig", Struct(&[("Type", Text), ("Config", TEXT_MAP)])),
        ("NetworkMode", Text),
        ("PortBindings", PORTS),
        (
            "RestartPolicy",
            Struct(&[("Name", Text), ("MaximumRetryCount", Int)]),
        ),
        ("AutoRemove", Bool),
        ("VolumeDriver", Text),
        ("VolumesFrom", TEXTS),
        ("Annotations", TEXT_MAP),
        ("CapAdd", Words),
        ("CapDrop", Words),
        ("CgroupnsMode", Text),
        ("Dns", TEXTS),
        ("DnsOptions", TEXTS),
        ("DnsSearch", TEXTS),
        ("ExtraHosts", TEXTS),
        ("GroupAdd", TEXTS),
        ("IpcMode", Text),
        ("Cgroup", Text),
        ("Links", TEXTS),
        ("OomScoreAdj", Int),
        ("PidMode", Text),
        ("Privileged", Bool),
        ("PublishAllPorts", Bool),
        ("ReadonlyRootfs", Bool),
        ("SecurityOpt", TEXTS),
        ("StorageOpt", TEXT_MAP),
        ("Tmpfs", TEXT_MAP),
        ("UTSMode", Text),
        ("UsernsMode", Text),
        ("ShmSize", Int),
        ("Sysctls", TEXT_MAP),
        ("Runtime", Text),
        ("Isolation", Text),
        ("CpuShares", Int),
        ("Memory", Int),
        ("NanoCpus", Int),
        ("CgroupParent", Text),
        ("BlkioWeight", Uint(16)),
        ("BlkioWeightDevice", WEIGHTS),
        ("BlkioDeviceReadBps", RATES),
        ("BlkioDeviceWriteBps", RATES),
        ("BlkioDeviceReadIOps", RATES),
        ("BlkioDeviceWriteIOps", RATES),
        ("CpuPeriod", Int),
        ("CpuQuota", Int),
        ("CpuRealtimePeriod", Int),
        ("CpuRealtimeRuntime", Int),
        ("CpusetCpus", Text),
        ("CpusetMems", Text),
        (
            "Devices",
            List(&Struct(&[
                ("PathOnHost", Text),
                ("PathInContainer", Text),
                ("CgroupPermissions", Text),
            ])),
        ),
        ("DeviceCgroupRules", TEXTS),
        (
            "DeviceRequests",
            List(&Struct(&[
                ("Driver", Text),
                ("Count", Int),
                ("DeviceIDs", TEXTS),
                ("Capabilities", List(&TEXTS)),
                ("Options", TEXT_MAP),
            ])),
        ),
        ("KernelMemory", Int),
        ("KernelMemoryTCP", Int),
        ("MemoryReservation", Int),
        ("MemorySwap", Int),
        ("MemorySwappiness", Pointer(&Int)),
        ("OomKillDisable", Pointer(&Bool)),
        ("PidsLimit", Pointer(&Int)),
        (
            "Ulimits",
            List(&Pointer(&Struct(&[
                ("Name", Text),
                ("Hard", Int),
                ("Soft", Int),
            ]))),
        ),
        ("CpuCount", Int),
        ("CpuPercent", Int),
        ("IOMaximumIOps", Uint(64)),
        ("IOMaximumBandwidth", Uint(64)),
        ("Mounts", List(&MOUNT)),
        ("MaskedPaths", TEXTS),
        ("ReadonlyPaths", TEXTS),
        ("Init", Pointer(&Bool)),
    ]),
    whole: false,
    strict: false,
};

/// An image's config: image.Image, read by NewFromJSON (image/image.go).
pub const IMAGE: Document = Document {
    shape: Struct(&[
        ("id", Text),
        ("comment", Text),
        ("created", Time),
        ("container", Text),
        ("container_config", CONFIG),
        ("docker_version", Text),
        ("author", Text),
        ("config", Pointer(&CONFIG)),
        ("architecture", Text),
        ("variant", Text),
        ("os", Text),
        ("Size", Int),
        ("parent", Text),
        (
            "rootfs",
            Pointer(&Struct(&[("type", Text), ("diff_ids", TEXTS)])),
        ),
        (
            "history",
            List(&Struct(&[
                ("created", Time),
                ("author", Text),
                ("created_by", Text),
                ("comment", Text),
                ("empty_layer", Bool),
            ])),
        ),
        ("os.version", Text),
        ("os.features", TEXTS),
    ]),
    whole: true,
    strict: false,
};

/// `repositories.json`: reference.store, read by its reload (reference/store.go).
pub const REPOSITORIES: Document = Document {
    shape: Struct(&[("Repositories", Map(&TEXT_MAP))]),
    whole: false,
    strict: false,
};

/// `daemon.json`, of which dof reads the data root: config.Config (daemon/config/config.go, where
/// findConfigurationConflicts looks at the names first).
pub const DAEMON: Document = Document {
    shape: Struct(&[("graph", Text), ("data-root", Text)]),
    whole: false,
    strict: true,
};

/// A value of `volumes/metadata.db`: volumeMetadata (volume/service/db.go).
pub const VOLUME: Document = Document {
    shape: Struct(&[
        ("Name", Text),
        ("Driver", Text),
        ("Labels", TEXT_MAP),
        ("Options", TEXT_MAP),
    ]),
    whole: true,
    strict: false,
};

/// `opts.json` of a local volume: optsConfig (volume/local/local_unix.go).
pub const VOLUME_OPTIONS: Document = Document {
    shape: Struct(&[
        ("MountType", Text),
        ("MountOpts", Text),
        ("MountDevice", Text),
        ("Quota", Struct(&[("Size", Uint(64))])),
    ]),
    whole: true,
    strict: false,
};

/// A network of `local-kv.db`: libnetwork reads it into a map (libnetwork/network.go, UnmarshalJSON), whose keys keep
/// their case.
pub const NETWORK: Document = Document {
    shape: Map(&Any),
    whole: true,
    strict: false,
};

/// Subnets asked for, in a string of a network: []*IpamConf (libnetwork/network.go).
pub const IPAM_ASKED: Document = Document {
    shape: List(&Pointer(&Struct(&[
        ("PreferredPool", Text),
        ("SubPool", Text),
        ("Gateway", Text),
        ("AuxAddresses", TEXT_MAP),
    ]))),
    whole: true,
    strict: false,
};

/// `swarm/docker-state.json`: nodeStartConfig (daemon/cluster/noderunner.go).
pub const SWARM: Document = Document {
    shape: Struct(&[
        ("LocalAddr", Text),
        ("RemoteAddr", Text),
        ("ListenAddr", Text),
        ("AdvertiseAddr", Text),
        ("DataPathAddr", Text),
        ("DefaultAddressPool", TEXTS),
        ("SubnetSize", Uint(32)),
        ("DataPathPort", Uint(32)),
        ("JoinInProgress", Bool),
    ]),
    whole: true,
    strict: false,
};

/// `swarm/state.json`: []api.Peer of swarmkit (node/node.go).
pub const PEERS: Document = Document {
    shape: List(&Struct(&[("node_id", Text), ("addr", Text)])),
    whole: true,
    strict: false,
};

/// A container's OCI specification, of which dof reads where its root is mounted; bytes of a protobuf may follow it.
pub const SPECIFICATION: Document = Document {
    shape: Struct(&[("root", Pointer(&Struct(&[("path", Text)])))]),
    whole: false,
    strict: false,
};

/// A file of `v2metadata-by-diffid`: []V2Metadata (distribution/metadata/v2_metadata_service.go).
pub const PULLED: Document = Document {
    shape: List(&Struct(&[
        ("Digest", Text),
        ("SourceRepository", Text),
        ("HMAC", Text),
    ])),
    whole: true,
    strict: false,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::json::folds;

    /// The reader counts on it.
    fn holds(shape: &Shape) {
        match shape {
            Pointer(inner) | List(inner) | Map(inner) => holds(inner),
            Struct(fields) => {
                assert!(fields.len() <= 128);
                for (i, (name, shape)) in fields.iter().enumerate() {
                    let same = |(other, _): &(&str, Shape)| folds(name, other);
                    assert!(name.is_ascii() && !fields[..i].iter().any(same), "{name}");
                    holds(shape);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn names_are_ascii_and_tell_fields_apart() {
        for document in [
            CONTAINER,
            HOST_CONFIG,
            IMAGE,
            REPOSITORIES,
            DAEMON,
            VOLUME,
            VOLUME_OPTIONS,
            NETWORK,
            IPAM_ASKED,
            SWARM,
            PEERS,
            SPECIFICATION,
            PULLED,
        ] {
            holds(&document.shape);
        }
    }
}
