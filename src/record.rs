//! The rows that the survey of a host gives, one struct a table of `schema/`.
//!
//! Field names are column names; what a column means is said in `schema/`, which a test holds against these
//! structs. Files, events and log entries come by the million and have their own batches in [`crate::ingest`].

use crate::text::is_plain;
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// The content of a metadata file: TEXT where it is UTF-8 without NULs, else BLOB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

impl ToSql for Content {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match is_plain(&self.0) {
            true => ValueRef::Text(&self.0),
            false => ValueRef::Blob(&self.0),
        }))
    }
}

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident => $table:literal { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default)]
            #[allow(missing_docs)] // documented in schema/
            pub struct $name {
                $(pub $field: $type,)*
            }

            impl From<$name> for Record {
                fn from(row: $name) -> Record {
                    Record::$name(Box::new(row))
                }
            }
        )*

        /// A row on its way into the case.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub enum Record {
            $($name(Box<$name>),)*
        }

        /// Every table a [`Record`] can go to, with its columns in binding order.
        pub const TABLES: &[(&str, &[&str])] = &[$(($table, &[$(stringify!($field)),*]),)*];

        impl Record {
            /// The table this row belongs to.
            pub fn table(&self) -> &'static str {
                match self {
                    $(Record::$name(_) => $table,)*
                }
            }

            /// Its columns, in the order of [`Record::values`].
            pub fn columns(&self) -> &'static [&'static str] {
                match self {
                    $(Record::$name(_) => &[$(stringify!($field)),*],)*
                }
            }

            /// Its values.
            pub fn values(&self) -> Vec<&dyn ToSql> {
                match self {
                    $(Record::$name(row) => vec![$(&row.$field),*],)*
                }
            }
        }
    };
}

records! {
    /// A host of this case.
    Host => "host" {
        id: i64,
        identity: String,
        mount: String,
        name: Option<String>,
        machine_id: Option<String>,
        os: Option<String>,
        os_id: Option<String>,
        os_version: Option<String>,
        timezone: Option<String>,
        dof_version: String,
        arguments: String,
        ingest_start: i64,
        ingest_end: Option<i64>,
    }

    /// A container engine found on a host.
    Engine => "engine" {
        id: i64,
        host_id: i64,
        kind: String,
        data_root: String,
        found_by: String,
        driver: Option<String>,
        engine_id: Option<String>,
        client_version: Option<String>,
        client_path: Option<String>,
        daemon_version: Option<String>,
        daemon_path: Option<String>,
        rootless: i64,
        comparison: String,
        folders: String,
        daemon_config_source_id: Option<i64>,
    }

    /// A store of images and layers that was read.
    ImageStore => "image_store" {
        engine_id: i64,
        driver: String,
    }

    /// The host's swarm membership.
    SwarmNode => "swarm_node" {
        engine_id: i64,
        node_id: Option<String>,
        cluster_id: Option<String>,
        role: Option<String>,
        local_addr: Option<String>,
        listen_addr: Option<String>,
        advertise_addr: Option<String>,
        remote_addr: Option<String>,
        data_path_port: Option<i64>,
        peers: String,
        source_id: Option<i64>,
    }

    /// An evidence file that rows were made from.
    Source => "source" {
        id: i64,
        host_id: i64,
        path: String,
        size: i64,
        mtime: i64,
        sha256: Option<String>,
        content: Option<Content>,
    }

    /// A problem as it stands in the case.
    Problem => "problem" {
        id: i64,
        host_id: i64,
        severity: String,
        path: String,
        offset: Option<i64>,
        what: String,
        kept: String,
    }

    /// An image.
    Image => "image" {
        id: i64,
        engine_id: i64,
        full_id: String,
        hex: String,
        created_at: Option<i64>,
        os: Option<String>,
        os_version: Option<String>,
        architecture: Option<String>,
        variant: Option<String>,
        parent_full_id: Option<String>,
        author: Option<String>,
        comment: Option<String>,
        docker_version: Option<String>,
        container: Option<String>,
        size: Option<i64>,
        entrypoint: Option<String>,
        cmd: Option<String>,
        env: Option<String>,
        user: Option<String>,
        working_dir: Option<String>,
        exposed_ports: Option<String>,
        volumes: Option<String>,
        labels: Option<String>,
        stop_signal: Option<String>,
        healthcheck: Option<String>,
        config: Option<String>,
        last_tagged_at: Option<i64>,
        built_locally: i64,
        source_id: Option<i64>,
    }

    /// A name of an image.
    ImageReference => "image_reference" {
        id: i64,
        engine_id: i64,
        repository: String,
        reference: String,
        tag: Option<String>,
        digest: Option<String>,
        image_full_id: String,
        image_id: Option<i64>,
        source_id: Option<i64>,
    }

    /// A step of an image's build history.
    ImageHistory => "image_history" {
        image_id: i64,
        position: i64,
        created_at: Option<i64>,
        created_by: Option<String>,
        author: Option<String>,
        comment: Option<String>,
        empty_layer: i64,
        layer_id: Option<i64>,
        step: String,
    }

    /// A layer of an image, in order.
    ImageLayer => "image_layer" {
        image_id: i64,
        position: i64,
        diff_id: String,
        chain_id: String,
        layer_id: Option<i64>,
    }

    /// A layer.
    Layer => "layer" {
        id: i64,
        engine_id: i64,
        role: String,
        chain_id: Option<String>,
        diff_id: Option<String>,
        parent_chain_id: Option<String>,
        cache_id: Option<String>,
        size: Option<i64>,
        driver: String,
        stacking: Option<String>,
        marks: Option<String>,
        host_path: Option<String>,
        mount_point: Option<String>,
        link: Option<String>,
        link_path: Option<String>,
        lower: Option<String>,
        below: Option<i64>,
        looks_like: Option<String>,
        source_id: Option<i64>,
    }

    /// A layer of a container, in order.
    ContainerLayer => "container_layer" {
        container_id: i64,
        position: i64,
        layer_id: i64,
    }
    ContainerBefore => "container_before" {
        container_id: i64,
        position: i64,
        layer_id: i64,
    }

    /// A container.
    Container => "container" {
        id: i64,
        engine_id: i64,
        full_id: String,
        name: Option<String>,
        image_name: Option<String>,
        image_full_id: Option<String>,
        image_id: Option<i64>,
        created_at: Option<i64>,
        created: Option<String>,
        started_at: Option<i64>,
        finished_at: Option<i64>,
        status: String,
        running: i64,
        paused: i64,
        restarting: i64,
        removing: i64,
        dead: i64,
        oom_killed: i64,
        pid: Option<i64>,
        exit_code: Option<i64>,
        error: Option<String>,
        health: Option<String>,
        restart_count: Option<i64>,
        restart_policy: Option<String>,
        restart_max: Option<i64>,
        started_before: Option<i64>,
        stopped_by_user: Option<i64>,
        auto_remove: Option<i64>,
        path: Option<String>,
        args: Option<String>,
        entrypoint: Option<String>,
        cmd: Option<String>,
        user: Option<String>,
        working_dir: Option<String>,
        hostname: Option<String>,
        domainname: Option<String>,
        tty: Option<i64>,
        open_stdin: Option<i64>,
        stop_signal: Option<String>,
        stop_timeout: Option<i64>,
        healthcheck: Option<String>,
        os: Option<String>,
        driver: Option<String>,
        layer_id: Option<i64>,
        privileged: Option<i64>,
        readonly_rootfs: Option<i64>,
        cap_add: Option<String>,
        cap_drop: Option<String>,
        security_opt: Option<String>,
        no_new_privileges: Option<i64>,
        apparmor_profile: Option<String>,
        seccomp_profile: Option<String>,
        mount_label: Option<String>,
        process_label: Option<String>,
        network_mode: Option<String>,
        pid_mode: Option<String>,
        ipc_mode: Option<String>,
        uts_mode: Option<String>,
        userns_mode: Option<String>,
        cgroupns_mode: Option<String>,
        cgroup_parent: Option<String>,
        devices: Option<String>,
        device_requests: Option<String>,
        device_rules: Option<String>,
        group_add: Option<String>,
        runtime: Option<String>,
        init: Option<i64>,
        sysctls: Option<String>,
        masked_paths: Option<String>,
        readonly_paths: Option<String>,
        memory: Option<i64>,
        memory_reservation: Option<i64>,
        memory_swap: Option<i64>,
        nano_cpus: Option<i64>,
        cpu_shares: Option<i64>,
        cpu_period: Option<i64>,
        cpu_quota: Option<i64>,
        cpuset_cpus: Option<String>,
        cpuset_mems: Option<String>,
        blkio_weight: Option<i64>,
        pids_limit: Option<i64>,
        shm_size: Option<i64>,
        oom_kill_disable: Option<i64>,
        oom_score_adj: Option<i64>,
        ulimits: Option<String>,
        binds: Option<String>,
        mounts_requested: Option<String>,
        tmpfs: Option<String>,
        volumes_from: Option<String>,
        publish_all: Option<i64>,
        links: Option<String>,
        dns: Option<String>,
        extra_hosts: Option<String>,
        sandbox_id: Option<String>,
        log_driver: Option<String>,
        log_in_files: Option<i64>,
        log_options: Option<String>,
        log_path: Option<String>,
        source_id: Option<i64>,
        hostconfig_source_id: Option<i64>,
    }

    /// An environment variable of a container.
    ContainerEnv => "container_env" {
        container_id: i64,
        position: i64,
        key: String,
        value: Option<String>,
    }

    /// A label of a container.
    ContainerLabel => "container_label" {
        container_id: i64,
        key: String,
        value: Option<String>,
    }

    /// A port of a container.
    ContainerPort => "container_port" {
        id: i64,
        container_id: i64,
        kind: String,
        port: Option<i64>,
        protocol: String,
        host_ip: Option<String>,
        host_port: Option<String>,
    }

    /// A mount of a container.
    ContainerMount => "container_mount" {
        id: i64,
        container_id: i64,
        kind: String,
        name: Option<String>,
        source: Option<String>,
        destination: String,
        driver: Option<String>,
        mode: Option<String>,
        rw: Option<i64>,
        propagation: Option<String>,
        volume_id: Option<i64>,
        tree_id: Option<i64>,
    }

    /// A network a container is attached to.
    ContainerNetwork => "container_network" {
        container_id: i64,
        name: String,
        network_full_id: Option<String>,
        renewed: i64,
        endpoint_id: Option<String>,
        gateway: Option<String>,
        ip_address: Option<String>,
        ip_prefix_len: Option<i64>,
        ipv6_gateway: Option<String>,
        ipv6_address: Option<String>,
        ipv6_prefix_len: Option<i64>,
        mac_address: Option<String>,
        aliases: Option<String>,
        links: Option<String>,
        dns_names: Option<String>,
        ipam_config: Option<String>,
    }

    /// A volume.
    Volume => "volume" {
        id: i64,
        engine_id: i64,
        name: String,
        driver: String,
        mount_point: Option<String>,
        tree_id: Option<i64>,
        created_at: Option<i64>,
        anonymous: i64,
        labels: Option<String>,
        options: Option<String>,
        in_metadata: i64,
        source_id: Option<i64>,
    }

    /// A network.
    Network => "network" {
        id: i64,
        engine_id: i64,
        full_id: String,
        name: String,
        predefined: i64,
        driver: Option<String>,
        scope: Option<String>,
        created_at: Option<i64>,
        internal: Option<i64>,
        attachable: Option<i64>,
        ingress: Option<i64>,
        ipv6: Option<i64>,
        config_only: Option<i64>,
        ipam_driver: Option<String>,
        ipam: Option<String>,
        options: Option<String>,
        labels: Option<String>,
        source_id: Option<i64>,
    }

    /// A file tree to walk.
    Tree => "tree" {
        id: i64,
        host_id: i64,
        kind: String,
        host_path: String,
        dev: i64,
        layer_id: Option<i64>,
    }

    /// A tree inside a tree.
    TreeNesting => "tree_nesting" {
        outer_id: i64,
        inner_id: i64,
        path: String,
    }

    /// What the engine keeps of something, owned or not.
    Trace => "trace" {
        id: i64,
        engine_id: i64,
        kind: String,
        name: String,
        folder_id: Option<i64>,
        driver: Option<String>,
        holds: Option<String>,
        removal: Option<i64>,
        belongs: Option<String>,
        is_id: Option<i64>,
        made_by: Option<String>,
        detail: Option<String>,
        host_path: String,
        atime: Option<i64>,
        mtime: Option<i64>,
        ctime: Option<i64>,
        crtime: Option<i64>,
    }

    /// A log file of a container.
    LogFile => "log_file" {
        id: i64,
        container_id: i64,
        path: String,
        format: String,
        position: i64,
        compressed: i64,
        size: i64,
        mtime: i64,
        cached: i64,
        first_entry: Option<i64>,
        last_entry: Option<i64>,
    }

    /// A verified layer or image.
    Verification => "verification" {
        id: i64,
        host_id: i64,
        layer_id: Option<i64>,
        image_id: Option<i64>,
        outcome: String,
        full: i64,
        entries: Option<i64>,
        bytes: i64,
        note: Option<String>,
    }

    /// A difference between what was shipped and what is there.
    VerificationFinding => "verification_finding" {
        id: i64,
        verification_id: i64,
        change: String,
        path: Option<String>,
        path_raw: Option<Vec<u8>>,
        attribute: Option<String>,
        shipped: Option<String>,
        found: Option<String>,
    }
}
