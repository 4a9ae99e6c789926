//! Networks: `network/files/local-kv.db` (moby libnetwork/network.go MarshalJSON, libnetwork/datastore; bolt, bucket
//! `libnetwork`, a value is an 8-byte little-endian index and JSON).

use crate::engine::Survey;
use crate::evidence::EvidencePath;
use crate::parse::bolt::{Bolt, Item};
use crate::parse::json::{self, Fields};
use crate::problem::Severity;
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
        let parsed = json::read(value.get(8..).unwrap_or_default());
        survey.defects(Severity::Warning, &path, parsed.defects);
        if parsed.value.is_object() {
            network(survey, engine, source, &path, &parsed.value);
        }
    }
}

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
    let row = record::Network {
        id,
        engine_id: engine,
        full_id: f.text("id").unwrap_or_default(),
        name: f.text("name").unwrap_or_default(),
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
    let mut list = |key: &str| {
        f.text(key)
            .and_then(|t| serde_json::from_str::<Vec<Value>>(&t).ok())
            .unwrap_or_default()
    };
    let (config, info) = (list(config), list(info));
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
                text(given, "IPAMData").and_then(|t| serde_json::from_str(&t).ok());
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
