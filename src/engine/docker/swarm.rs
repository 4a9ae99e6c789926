//! Swarm membership: `swarm/docker-state.json` (moby daemon/cluster/noderunner.go), `swarm/state.json` (swarmkit
//! node/node.go) and the node's certificate.

use super::documents;
use crate::engine::Survey;
use crate::evidence::EvidencePath;
use crate::parse::json::Fields;
use crate::parse::node_cert;
use crate::problem::Severity;
use crate::record;

/// Reads the swarm membership, if there is one: a node that left keeps an empty folder.
pub fn survey(survey: &mut Survey<'_>, engine: i64, root: &EvidencePath) {
    let folder = root.join("swarm");
    let path = folder.join("docker-state.json");
    let Some(state) = survey.read_json(&path, &documents::SWARM) else {
        return;
    };
    let mut f = Fields::new(&state.value);
    let peers = survey
        .read_json(&folder.join("state.json"), &documents::PEERS)
        .map(|file| file.value)
        .filter(|v| v.is_array());
    let cert_path = folder.join("certificates/swarm-node.crt");
    let cert = survey.read(&cert_path).and_then(|(pem, _)| {
        let cert = node_cert::parse(&pem);
        if cert.is_none() {
            survey.problem(
                Severity::Warning,
                &cert_path,
                "no certificate in it",
                "the rest of the membership",
            );
        }
        cert
    });
    let cert = cert.unwrap_or_default();
    let row = record::SwarmNode {
        engine_id: engine,
        node_id: cert.node_id,
        cluster_id: cert.cluster_id,
        role: cert.role,
        local_addr: f.text("LocalAddr"),
        listen_addr: f.text("ListenAddr"),
        advertise_addr: f.text("AdvertiseAddr"),
        remote_addr: f.text("RemoteAddr"),
        data_path_port: f.int("DataPathPort"),
        peers: peers.map_or_else(|| "[]".into(), |p| p.to_string()),
        source_id: Some(state.source),
    };
    survey.defects(Severity::Warning, &path, f.defects);
    survey.put(row);
}
