//! Networks: `network/files/local-kv.db` (moby libnetwork/network.go MarshalJSON, libnetwork/datastore; bolt, bucket
//! `libnetwork`, a value is an 8-byte little-endian index and JSON).

use super::documents;
use crate::engine::Survey;
use crate::evidence::EvidencePath;
use crate::parse::bolt::{Bolt, Item};
use crate::parse::json::{self, Document, Fields};
use crate::parse::time::{self, GoTime};
use crate::problem::{Defect, Severity};
use crate::record;
use serde_json::{Value, json};

const KEY: &[u8] = b"docker/network/v1.0/network/";

/// Reads the networks of a data root.
pub fn survey(survey: &mut Survey<'_>, engine: i64, root: &EvidencePath) {
    let path = root.join("network/files/local-kv.db");
    let Some((bytes, source)) = survey.read(&path) else {
        return;
    };
    let bolt = match Bolt::open(&bytes) {
        Ok(bolt) => bolt,
        Err(defect) => return survey.defects(Severity::Error, &path, vec![defect]),
    };
    let Some(bucket) = bolt.bucket(&[b"libnetwork"]) else {
        return;
    };
    let entries = bucket.entries();
    survey.defects(Severity::Warning, &path, entries.defects);
    for (key, item) in entries.value {
        let (true, Item::Value(value)) = (key.starts_with(KEY), item) else {
            continue;
        };
        let parsed = json::read(value.get(8..).unwrap_or_default(), &documents::NETWORK);
        survey.defects(Severity::Warning, &path, parsed.defects);
        if parsed.value.is_object() {
            network(survey, engine, source, &path, &parsed.value);
        }
    }
}

/// The default network, which gets another id at each start.
pub const DEFAULT: &str = "bridge";

/// Networks that the engine makes by itself: at its start, and as a member of a swarm.
const PREDEFINED: [&str; 5] = [DEFAULT, "host", "none", "docker_gwbridge", "ingress"];

fn network(survey: &mut Survey<'_>, engine: i64, source: i64, path: &EvidencePath, value: &Value) {
    let mut f = Fields::new(value);
    let id = survey.next_id("network");
    let mut ipam = ipam(&mut f, "ipamV4Config", "ipamV4Info");
    ipam.extend(self::ipam(&mut f, "ipamV6Config", "ipamV6Info"));
    // The key has dots, so it is no path for Fields.
    let options = f
        .get("generic")
        .and_then(|g| g.get("com.docker.network.generic"))
        .filter(|o| !o.is_null())
        .map(Value::to_string);
    if let Some(text) = f.get("created").and_then(Value::as_str)
        && time::go(text.as_bytes()) == GoTime::Refused
    {
        let what = format!("created is no time that Docker reads: {text}");
        f.defects.push(Defect::new(what, "the other fields"));
    }
    let name = f.text("name").unwrap_or_default();
    let row = record::Network {
        id,
        engine_id: engine,
        full_id: f.text("id").unwrap_or_default(),
        predefined: i64::from(PREDEFINED.contains(&name.as_str())),
        name,
        driver: f.text("networkType"),
        scope: f.text("scope"),
        created_at: f.time("created"),
        internal: f.flag("internal"),
        attachable: f.flag("attachable"),
        ingress: f.flag("ingress"),
        ipv6: f.flag("enableIPv6"),
        config_only: f.flag("configOnly"),
        ipam_driver: f.text("ipamType"),
        ipam: (!ipam.is_empty()).then(|| Value::from(ipam).to_string()),
        options,
        labels: f.json("labels"),
        source_id: Some(source),
    };
    survey.put(row);
    survey.defects(Severity::Warning, path, f.defects);
}

/// Subnets as `docker network inspect` shows them: what was asked for, completed by what was given. Both are JSON in
/// strings, one nested once more.
fn ipam(f: &mut Fields<'_>, config: &str, info: &str) -> Vec<Value> {
    let mut list = |key: &str, kind: &Document| {
        let read = json::read(f.text(key).unwrap_or_default().as_bytes(), kind).value;
        match read {
            Value::Array(list) => list,
            _ => Vec::new(),
        }
    };
    // libnetwork reads what was given into maps, whose keys keep their case.
    let config = list(config, &documents::IPAM_ASKED);
    let info = list(info, &Document::ANY);
    let text = |v: Option<&Value>, key: &str| {
        v.and_then(|v| v.get(key))
            .and_then(Value::as_str)
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
    };
    (0..config.len().max(info.len()))
        .map(|i| {
            let (asked, given) = (config.get(i), info.get(i));
            let data: Option<Value> =
                text(given, "IPAMData").map(|t| json::read(t.as_bytes(), &Document::ANY).value);
            let gateway = text(data.as_ref(), "Gateway")
                .map(|g| g.split('/').next().unwrap_or_default().to_owned());
            json!({
                "Subnet": text(data.as_ref(), "Pool").or_else(|| text(asked, "PreferredPool")),
                "IPRange": text(asked, "SubPool"),
                "Gateway": gateway.or_else(|| text(asked, "Gateway")),
            })
        })
        .collect()
}
